"""The shell around etcd: settings, client, publishing, watch and the cache on disk."""
