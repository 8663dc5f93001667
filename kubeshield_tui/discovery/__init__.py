"""WHAT is looked at: endpoints, from what a cluster says of itself and from what the user names."""
