//! Custom resource types of group headroom.dev and their schemas.
