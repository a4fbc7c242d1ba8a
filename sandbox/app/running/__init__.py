"""What commands do with a sandbox that is up: addons, accounts, workloads, certificates, images, snapshots."""
