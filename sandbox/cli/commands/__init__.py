"""What can be typed: each command's arguments, options and help, without what it takes to carry it out."""
