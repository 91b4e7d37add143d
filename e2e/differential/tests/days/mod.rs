//! What became of rough days: a line for whoever runs the tests, and the page `docs/benchmarks/chaos.md`.

use std::fmt::Write;
use std::path::Path;

use headroom_differential::stories::Excess;
use headroom_e2e::bench::provenance;

/// Names the file of the page, seen from the top of the checkout; without it there is no page.
const PAGE: &str = "HEADROOM_CHAOS_PAGE";
/// Differences that are printed.
const SHOWN: usize = 5;

const METHOD: &str = "\
## How it is played

- The stories are those of `e2e/differential` (its README says more), told by the four loops for ReplicationControllers,
  Endpoints and slices; the seed of a day chooses them and throws its dice.
- Between the controllers and the API server is a proxy. Ours are answered in protobuf where they ask for it (pods, nodes,
  Endpoints and slices), on days with even seeds in JSON alone; stock's are set to JSON. Watches lag by up to 0.8 s, each by
  its own time; 3 of 1,000 events are the last of their watch, half of which is sent; every second watch that goes on is told
  that its version is too old, and what watches of ours begin with is up to 10 s old, though they ask for what is (no API
  server should do that; stock's are spared). A tenth of the requests is refused (409, 429, 500, 503, 504), a tenth of the
  writes is carried out and its answer lost, and a tenth of the lists ends in its middle. Of a hundred requests of ours one is
  never answered, be it carried out or not, until there were six: it is given up after 8 s, a watch after 30 s (an API server
  says something after a minute at most, and stock's are spared). `faults` counts all of these but the lag; `past` counts
  watches that began with what stood there earlier.
- Ours is killed (`kill -9`) after one of the first writes of some stories, and after each step the same objects have to be
  there as stock had on a calm day; `different` counts stories in which they are not.
- A pod is too many if a ReplicationController had more live pods with it than it had asked for at any time since its manager
  last reported what it had seen; `by` says by how many at worst.
- Stock has the same stories and dice on a control plane of its own, without the kills, for 25 s; it need not come to an end.
";

/// A day.
#[derive(Debug)]
pub(crate) struct Day {
    /// Pods that ReplicationControllers had.
    pub(crate) pods: usize,
    /// Requests and watches that were spoiled.
    pub(crate) spoiled: u64,
    /// Of these, requests that were never answered.
    pub(crate) ignored: u32,
    /// Watches that came in protobuf.
    pub(crate) encoded: u64,
    /// Watches that began in the past.
    pub(crate) rewound: u64,
    /// How often the process was killed.
    pub(crate) kills: usize,
    /// Stories that came to their end.
    pub(crate) ended: usize,
    /// What was different in stories.
    pub(crate) different: Vec<String>,
    /// Pods that were too many.
    pub(crate) excess: Vec<Excess>,
    /// The machine was so slow that nodes may have been given up which live.
    pub(crate) too_slow: bool,
}

impl Day {
    /// How many pods were too many, and by how much a controller had too many at worst.
    pub(crate) fn too_many(&self) -> String {
        let worst = self.excess.iter().map(|excess| excess.pods as u64 - excess.asked).max();
        worst.map_or_else(|| "0".to_owned(), |worst| format!("{} by {worst}", self.excess.len()))
    }

    /// What must not be on ours, in words; `rewound` is how many watches have to have begun in the past.
    pub(crate) fn wrong(&self, stories: usize, rewound: u64) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.different.is_empty() {
            let shown = &self.different[..self.different.len().min(SHOWN)];
            wrong.push(format!("{} stories differ:\n{}", self.different.len(), shown.join("\n")));
        }
        if !self.excess.is_empty() {
            wrong.push(format!("{} pods too many: {:?}", self.excess.len(), self.excess));
        }
        if self.spoiled <= stories as u64 || self.rewound < rewound {
            wrong.push(format!("not rough: {} spoiled, {} watches began in the past", self.spoiled, self.rewound));
        }
        wrong
    }
}

/// The same day, lived through twice.
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) seed: usize,
    pub(crate) stories: usize,
    pub(crate) ours: Day,
    pub(crate) stock: Day,
}

/// Over the lines of [`Both::line`].
pub(crate) const HEADING: &str =
    " seed stories    pods  faults    past kills different  too many | stock: pods  ended  too many";

impl Both {
    /// For whoever runs the tests.
    pub(crate) fn line(&self) -> String {
        let Self { seed, stories, ours, stock } = self;
        format!(
            "{seed:>5} {stories:>7} {:>7} {:>7} {:>7} {:>5} {:>9} {:>9} | {:>11} {:>6} {:>9}",
            ours.pods,
            ours.spoiled,
            ours.rewound,
            ours.kills,
            ours.different.len(),
            ours.too_many(),
            stock.pods,
            stock.ended,
            stock.too_many(),
        )
    }

    fn row(&self) -> String {
        let Self { seed, stories, ours, stock } = self;
        format!(
            "| {seed} | {stories} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            ours.spoiled,
            ours.rewound,
            ours.kills,
            ours.pods,
            ours.different.len(),
            ours.too_many(),
            stock.pods,
            stock.ended,
            stock.too_many(),
        )
    }
}

/// Writes a line where the harness does not hide it when the test passes.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "time travel: {line}");
}

fn page(stock: &str, days: &[Both]) -> String {
    let mut out = String::from("# Rough days\n\nWritten by `make chaos`.\n\n");
    out.push_str(&provenance());
    let command = format!("{PAGE}=docs/benchmarks/chaos.md HEADROOM_TIME_TRAVEL_SEEDS={} make chaos", days.len());
    let _ = writeln!(out, "- Command: `{command}`\n- Stock: kube-controller-manager {stock} with the same loops\n");
    let sum = |of: fn(&Both) -> usize| days.iter().map(of).sum::<usize>();
    let (ours, stock) = (sum(|day| day.ours.excess.len()), sum(|day| day.stock.excess.len()));
    let (pods, stock_pods) = (sum(|day| day.ours.pods), sum(|day| day.stock.pods));
    let _ = writeln!(
        out,
        "Pods too many: {ours} of {pods} with ours, {stock} of {stock_pods} with stock, on {} days.\n",
        days.len()
    );
    out.push_str("| seed | stories | faults | past | kills | pods | different | too many ");
    out.push_str("| stock: pods | ended | too many |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    days.iter().for_each(|day| out.push_str(&day.row()));
    out.push('\n');
    out.push_str(METHOD);
    out
}

/// Writes the page, where somebody wants one.
pub(crate) fn write_page(stock: &str, days: &[Both]) {
    let Ok(path) = std::env::var(PAGE) else { return };
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    std::fs::write(Path::new(&directory).join("../..").join(&path), page(stock, days)).unwrap();
    say(&format!("{} days are in {path}", days.len()));
}

#[test]
fn a_day_has_a_row_with_both_sides() {
    let one =
        |&(pods, asked): &(usize, u64)| Excess { controller: "a/b".to_owned(), pods, asked, pod: "b-x".to_owned() };
    let day = |excess: &[(usize, u64)]| Day {
        pods: 90,
        spoiled: 700,
        ignored: 6,
        encoded: 40,
        rewound: 30,
        kills: 8,
        ended: 40,
        different: Vec::new(),
        excess: excess.iter().map(one).collect(),
        too_slow: false,
    };
    let both = Both { seed: 7, stories: 40, ours: day(&[]), stock: day(&[(4, 3), (6, 3)]) };
    assert!(both.ours.wrong(40, 11).is_empty());
    assert_eq!(both.stock.wrong(40, 31).len(), 2, "too many, and not rough");
    assert!(both.line().ends_with("2 by 3") && both.line().len() == HEADING.len(), "{}", both.line());
    let text = page("v1.36.4", &[both]);
    assert!(text.contains("| 7 | 40 | 700 | 30 | 8 | 90 | 0 | 0 | 90 | 40 | 2 by 3 |\n"), "{text}");
    assert!(text.contains("Pods too many: 0 of 90 with ours, 2 of 90 with stock, on 1 days."), "{text}");
}
