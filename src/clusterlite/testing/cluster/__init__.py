"""A real cluster on this machine: Kafka, nodes, links between them, Nginx.

    from clusterlite.testing.cluster.nodes import Cluster

    with Cluster(Path("folder"), brokers=3) as cluster:
        cluster.port                    of Nginx
        cluster.nodes[0].port           of a node
        cluster.kafka.brokers[0].kill()

It needs Java 17 and Maven, which fetches Kafka once, and Nginx.
"""
