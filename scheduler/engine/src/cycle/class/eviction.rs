//! Which class goes when there is no more room.

/// Decisions after which a class that nobody has used goes first.
const PATIENCE: u64 = 128;

/// The place of the class to drop, given when each was used last and whether it was ever used again; the one that is used
/// now stays.
///
/// Templates are often used in turn. Were it always the class that has not been used for longest, then with one template
/// more than there is room for every pod would find its class just gone. So the last one that was used once makes room:
/// the others are kept for their next turn, and pods of which there is only one do not drive them out. What belongs to
/// workloads that are done goes in the end by its age.
pub(super) fn victim(classes: &[(u64, bool)], now: u64) -> Option<usize> {
    let others = || classes.iter().enumerate().filter(move |(_, (used, _))| *used < now);
    let (oldest, (used, _)) = others().min_by_key(|(_, (used, _))| *used)?;
    if now - used > PATIENCE {
        return Some(oldest);
    }
    let once = others().filter(|(_, (_, again))| !again).max_by_key(|(_, (used, _))| *used);
    Some(once.map_or(oldest, |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 10;

    /// Classes by the number of their template.
    #[derive(Default)]
    struct Kept {
        all: Vec<(usize, (u64, bool))>,
        now: u64,
    }

    impl Kept {
        /// Uses the class of a template. Whether it was there.
        fn hit(&mut self, template: usize) -> bool {
            self.now += 1;
            if let Some((_, class)) = self.all.iter_mut().find(|(t, _)| *t == template) {
                *class = (self.now, true);
                return true;
            }
            self.all.push((template, (self.now, false)));
            if self.all.len() > ROOM {
                let uses: Vec<_> = self.all.iter().map(|(_, class)| *class).collect();
                let at = victim(&uses, self.now).unwrap();
                assert_ne!(self.all[at].0, template, "the newest stays");
                self.all.swap_remove(at);
            }
            false
        }

        fn hits(&mut self, templates: impl Iterator<Item = usize>) -> usize {
            templates.filter(|t| self.hit(*t)).count()
        }
    }

    #[test]
    fn templates_in_turn_keep_most_classes() {
        let mut kept = Kept::default();
        kept.hits(0..15);
        assert!(kept.hits((0..1500).map(|i| i % 15)) > 800, "of 1500, with room for 10 of 15");
    }

    #[test]
    fn single_pods_drive_no_template_out() {
        let mut kept = Kept::default();
        kept.hits((0..18).map(|i| i % 9));
        let mixed = (0..1000).map(|i| if i % 2 == 0 { i / 2 % 9 } else { 100 + i });
        assert_eq!(kept.hits(mixed), 500, "every second pod is of a template");
    }

    #[test]
    fn other_templates_take_over() {
        let mut kept = Kept::default();
        kept.hits((0..100).map(|i| i % 10));
        kept.hits((0..300).map(|i| 20 + i % 10));
        assert_eq!(kept.hits((0..100).map(|i| 20 + i % 10)), 100);
    }

    #[test]
    fn nothing_but_the_newest_is_nobody() {
        assert_eq!((victim(&[], 7), victim(&[(7, false)], 7)), (None, None));
        assert_eq!(victim(&[(7, false), (5, true), (6, true)], 7), Some(1));
    }
}
