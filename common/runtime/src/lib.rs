//! All that touches the world: API client, informers, lease, events, dispatcher, serving, logging.
