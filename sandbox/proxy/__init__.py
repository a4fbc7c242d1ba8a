"""The edge: one HAProxy container per machine that owns 443 and 8443 and routes by server name."""
