"""Certificates and keys that lie in files of this host: which are wanted, whether they are good, which ones serve.

Pure: contents come in as bytes and time as an argument. The shell that reads files is `sidecar.agent.secret_files`;
what becomes of them in Envoy is `sidecar.xds.compile.tls`.
"""
