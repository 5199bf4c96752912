"""weakseg's pipeline behind other servers: what TorchServe is compared with."""
