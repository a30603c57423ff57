"""An embedded Pub/Sub for one machine: for tests, demos and development, not for production.

A message that a subscription has got is unacked until it is acknowledged there, and held while a
delivery of it is leased. The modules, in the order in which a call and a message pass through them:

command       `botdel local pubsub`
server        the gRPC server
upkeep        what happens periodically: deadlines, retention, expiry, cleaning the disk
service       every method of both services
wire          message classes, methods, and the bytes of a delivery
refusals      the errors that clients get

catalogue     creating, changing, listing and deleting topics and subscriptions
names         resource names
settings      what a topic or a subscription may be set to, and how it is updated
filters       the filter of a subscription

limits        what may be published
broker        publishing, acknowledging, failing and expiry, over all topics and subscriptions
fan_out       messages for a topic, and which subscriptions get each
topic         a topic and its subscriptions
letters       dead letters
journal       what is kept on disk
remedies      what to do when it cannot be kept

subscription  what one subscription still has to deliver: leases, back-off and order
entry         one message of a subscription, and the lane of an ordering key
feed          who waits for the messages of one subscription
streams       streaming pull
seeking       seeks, in steps
"""
