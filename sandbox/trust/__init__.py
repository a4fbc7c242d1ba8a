"""Trust stores of this machine and its user, which a sandbox's root certificate enters and leaves by consent only."""
