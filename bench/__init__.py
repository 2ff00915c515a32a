"""`make bench`: what the gateway adds to a request, measured beside its provider in one run on this machine."""
