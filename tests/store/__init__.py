"""One suite that every store runs: a file per noun of `ojs_grpc.stores.ports`."""
