"""Clusters made by minikube, and its own addons."""
