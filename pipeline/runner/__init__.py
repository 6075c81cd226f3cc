"""Runs stages on shards and keeps what is done in a ledger of fragments."""
