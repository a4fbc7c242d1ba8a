"""What touches the machine outside: processes, the Docker Engine, files, ports, time; one door each."""
