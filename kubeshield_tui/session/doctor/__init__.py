"""What a run stands on, looked at one by one: `kubeshield doctor`."""
