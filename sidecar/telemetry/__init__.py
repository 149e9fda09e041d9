"""What is written down of traffic: which, by whose wish, and how Envoy's numbers become Istio's metrics.

Pure. Envoy counts requests by one packed tag (`packing`); only when somebody asks, `exposition` reads its numbers and
`labels` unpacks them into Istio's standard labels. So a label costs a request nothing unless it differs by request.
"""
