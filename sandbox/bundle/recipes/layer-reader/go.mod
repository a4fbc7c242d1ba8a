module sandbox.bundle/layer-reader

go 1.26.0
