"""One file per thing `down` can take away; read the folder, know the product."""
