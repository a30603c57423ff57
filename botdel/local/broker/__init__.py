"""An embedded Pub/Sub for one machine: for tests, demos and development, not for production.

wire          message classes, methods, and how a delivery is written
refusals      the errors that the service gives
names         resource names
limits        what may be published
settings      what a topic or a subscription may be set to, and how it is updated
filters       the filter of a subscription
journal       what is kept on disk
remedies      what to do when it cannot be kept
entry         one message of a subscription, and the lane of an ordering key
subscription  what one subscription still has to deliver: leases, back-off and order
topic         a topic and its subscriptions
letters       dead letters
broker        publishing, acknowledging, seeking and expiry over all of them
catalogue     creating, changing, listing and deleting topics and subscriptions
seeking       a seek, in steps
feed          who waits for the messages of one subscription
streams       streaming pull
service       every method of both services
upkeep        what happens by itself: deadlines, retention, expiry, cleaning the disk
server        the gRPC server
command       `botdel local pubsub`
"""
