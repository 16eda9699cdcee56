"""A schema registry that speaks Confluent's API: its settings, its answers, and the schemas of its ids.

Nothing here is imported unless a registry is configured. `client.py` alone imports confluent-kafka's registry client.
"""
