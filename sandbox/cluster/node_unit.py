"""A systemd unit that runs a script of ours on a control-plane node for ever, with the node's own kubectl."""

from __future__ import annotations


def unit(description: str, script: str) -> str:
    """The unit's text; `script` is a path in the node. One that ends is started again a second later.

    minikube keeps kubectl in a folder that has its version for a name.
    """
    return f"""[Unit]
Description={description}
After=kubelet.service
StartLimitIntervalSec=0

[Service]
Environment=KUBECONFIG=/etc/kubernetes/admin.conf
ExecStart=/bin/sh -c "PATH=$$PATH:$$(echo /var/lib/minikube/binaries/v* | tr ' ' :) exec /bin/sh $$0" {script}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
