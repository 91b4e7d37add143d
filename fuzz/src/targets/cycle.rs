//! The engine: bytes become a course of events in a little cluster.

use headroom_engine::simulator::acts::{Act, both_paths};

/// Most events.
const MOST: usize = 200;

/// The class path decides as the plain path, the books are right, and everything comes to rest.
pub(crate) fn cycle(data: &[u8]) {
    let course = Act::course(data, MOST);
    match both_paths(&course) {
        Ok(clusters) => {
            for mut s in clusters {
                s.run();
                assert_eq!(s.inconsistency(), None, "at rest");
            }
        }
        Err(difference) => panic!("{difference}\n{course:?}"),
    }
}
