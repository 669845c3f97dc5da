"""The engines underneath: FiftyOne's database service, reaching a MongoDB, the processes of this machine."""
