"""What a bug report needs, without secrets."""
