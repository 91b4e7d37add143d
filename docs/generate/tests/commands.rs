//! What the documents tell people to type could work.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::BTreeSet;

use headroom_docs::{
    blocks::{Block, Document, Mark, documents},
    commands::{Reading, check, flags},
    root, shell,
    untried::{COMMANDS, FLAGS, entry, place},
};

#[test]
fn every_block_says_what_it_is() {
    let mut wrong = Vec::new();
    for document in documents(&root()).unwrap() {
        for block in document.blocks() {
            let at = format!("{}:{}", document.path.display(), block.line);
            if block.info.is_empty() {
                wrong.push(format!("{at}: a block says its language: ```text for what is none"));
            } else if block.is_shell()
                && let Err(said) = block.mark()
            {
                wrong.push(format!("{at}: {said}"));
            } else if !block.stand_ins().is_empty() && block.script() == block.text {
                wrong.push(format!("{at}: the block has none of the words {:?}", block.stand_ins()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_have_flags_targets_and_files_that_exist() {
    let root = root();
    let part = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let makefile = part("Makefile") + &part("packaging/packaging.mk");
    let (mut wrong, mut blocks, mut mentioned) = (Vec::new(), 0, 0);
    for document in documents(&root).unwrap() {
        let mut look = |line: usize, script: &str, reading: Reading| {
            for words in shell::commands(script) {
                if let Err(said) = check(&words, reading, &root, &makefile) {
                    wrong.push(format!("{}:{line}: {}: {said}", document.path.display(), words.join(" ")));
                }
            }
        };
        for block in document.blocks().iter().filter(|block| block.is_shell()) {
            blocks += 1;
            look(block.line, &block.text, Reading::Whole);
        }
        for (line, command) in document.inline_commands() {
            mentioned += 1;
            look(line, &command, Reading::Mentioned);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(blocks > 5 && mentioned > 20, "{blocks} blocks, {mentioned} mentioned: what happened to the documents?");
}

/// What no test runs stands in one list, with the reason; and nothing else stands there.
#[test]
fn commands_that_no_test_runs_are_listed_with_their_reason() {
    let (mut unknown, mut used) = (Vec::new(), BTreeSet::new());
    for document in documents(&root()).unwrap() {
        for block in document.blocks().iter().filter(|block| block.is_shell() && block.mark() == Ok(Mark::Host)) {
            for words in shell::commands(&block.text) {
                match entry(&words) {
                    Some(entry) => {
                        used.insert(entry.starts);
                    }
                    None => unknown.push(format!("{}:{}: {}", document.path.display(), block.line, words.join(" "))),
                }
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "run them (```sh test, cluster, kubeadm, helm or files), or say in docs/generate/src/untried.rs why not:\n{}",
        unknown.join("\n")
    );
    let unused: Vec<&str> =
        COMMANDS.iter().map(|command| command.starts).filter(|start| !used.contains(start)).collect();
    assert!(unused.is_empty(), "no block marked `sh host` has {unused:?} any more: take them out of COMMANDS");
}

/// What the how-tos tell people to do on a host is what the plan of a takeover prints, which stands on these pages to the
/// letter: one cannot change without the other.
#[test]
fn commands_for_hosts_are_those_that_takeover_prints() {
    let spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = documents(&root()).unwrap();
    let outputs = all.iter().flat_map(Document::blocks).filter(Block::is_output);
    let printed: Vec<String> = outputs.map(|block| spaced(&block.text)).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for document in all.iter().filter(|document| document.path.starts_with("docs/how-to")) {
        let on_hosts = |block: &Block| block.is_shell() && matches!(block.mark(), Ok(Mark::Host | Mark::Files));
        for block in document.blocks().into_iter().filter(on_hosts) {
            for words in shell::commands(&block.text) {
                let line = words.join(" ");
                if line.contains("kubectl headroom ") {
                    continue;
                }
                seen += 1;
                if !printed.iter().any(|text| text.contains(&line)) {
                    wrong.push(format!("{}:{}: {line}", document.path.display(), block.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "no plan in these documents prints:\n{}", wrong.join("\n"));
    assert!(seen > 8, "{seen} commands: what happened to the how-tos?");
}

/// The flags in a text, without their values; one with a `*` ends with `-`.
fn named_flags(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || "\"',[]()".contains(c));
    let flags = words.filter(|word| word.strip_prefix("--").is_some_and(|rest| rest.starts_with(char::is_alphabetic)));
    flags.map(|word| word.split(['=', '*']).next().unwrap_or(word).trim_end_matches([':', '.']).to_owned()).collect()
}

/// Flags that are mentioned by themselves: in running text, and in the arguments of manifests.
fn mentioned_flags(document: &Document) -> Vec<(usize, String)> {
    let spans = document.spans().into_iter().filter(|(_, span)| span.starts_with("--"));
    let manifests = document.blocks().into_iter().filter(|block| block.info.starts_with("yaml"));
    let texts = spans.chain(manifests.map(|block| (block.line, block.text)));
    texts.flat_map(|(line, text)| named_flags(&text).into_iter().map(move |flag| (line, flag))).collect()
}

#[test]
fn flags_in_running_text_and_in_manifests_exist_or_are_others() {
    let ours = flags();
    let (mut unknown, mut used, mut seen) = (Vec::new(), BTreeSet::new(), 0);
    for document in documents(&root()).unwrap() {
        for (line, flag) in mentioned_flags(&document) {
            seen += 1;
            let begins = flag.ends_with('-') && ours.iter().any(|known| known.starts_with(&flag));
            if ours.contains(&flag) || begins {
                continue;
            }
            match FLAGS.iter().find(|(name, _)| *name == flag) {
                Some((name, _)) => {
                    used.insert(*name);
                }
                None => unknown.push(format!("{}:{line}: {flag}", document.path.display())),
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "flags that none of our programs has (of others: FLAGS in docs/generate/src/untried.rs):\n{}",
        unknown.join("\n")
    );
    let unused: Vec<&str> = FLAGS.iter().map(|(name, _)| *name).filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "nothing mentions {unused:?} any more: take them out of FLAGS");
    assert!(seen > 200, "{seen}");
}

#[test]
fn files_in_running_text_exist_or_are_elsewhere() {
    let root = root();
    let mut wrong = Vec::new();
    for document in documents(&root).unwrap() {
        for (line, span) in document.spans() {
            if let Err(said) = place(&span, Reading::Mentioned, &root, &document.path) {
                wrong.push(format!("{}:{line}: {said}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Links between documents lead somewhere.
#[test]
fn links_between_documents_lead_to_files() {
    let root = root();
    let mut wrong = Vec::new();
    for document in documents(&root).unwrap() {
        let directory = root.join(&document.path).parent().unwrap().to_owned();
        for target in document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(char::is_whitespace) {
                continue;
            }
            if !directory.join(file).exists() {
                wrong.push(format!("{}: {target}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

/// The numbers in running text and tables: what commands print differs from run to run.
fn numbers(text: &str) -> BTreeSet<String> {
    let text: String = text.split("```").step_by(2).collect();
    let figure = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let words = text.split(|c: char| !figure(c)).map(|word| word.trim_matches([',', '.']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The levels of the headings, in order.
fn headings(text: &str) -> Vec<usize> {
    let text: String = text.split("```").step_by(2).collect();
    let level = |line: &str| line.chars().take_while(|c| *c == '#').count();
    text.lines().map(level).filter(|level| *level > 0).collect()
}

/// What a block says in any language: commands without their comments, the names in a picture left out, else its lines.
fn unspoken(block: &Block) -> (String, Vec<Vec<String>>) {
    let said = match block.info.as_str() {
        "mermaid" => Vec::new(),
        _ if block.is_shell() => shell::commands(&block.text),
        _ => block.text.lines().map(|line| vec![line.to_owned()]).collect(),
    };
    (block.info.clone(), said)
}

/// Where it links to, whichever language that is in; sentences put their words in another order.
fn targets(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut targets: Vec<String> = targets.map(|target| target.replace(".zh-CN.md", ".md")).collect();
    targets.sort();
    targets
}

/// A translation has the same parts, the same commands with the same output, the same links and the same figures.
#[test]
fn translations_are_in_step() {
    let all = documents(&root()).unwrap();
    let chinese: Vec<&Document> =
        all.iter().filter(|document| document.path.to_string_lossy().ends_with(".zh-CN.md")).collect();
    assert!(chinese.len() >= 2, "the README and the tutorial are translated: {chinese:?}");
    for chinese in chinese {
        let path = chinese.path.to_string_lossy();
        let original = path.replace(".zh-CN.md", ".md");
        let english = all.iter().find(|document| document.path.to_string_lossy() == original.as_str()).unwrap();
        assert_eq!(headings(&english.text), headings(&chinese.text), "headings of {path}");
        let blocks = |document: &Document| document.blocks().iter().map(unspoken).collect::<Vec<_>>();
        assert_eq!(blocks(english), blocks(chinese), "blocks of {path}");
        assert_eq!(targets(&english.text), targets(&chinese.text), "links of {path}");
        let missing: Vec<_> = numbers(&english.text).difference(&numbers(&chinese.text)).cloned().collect();
        assert!(missing.is_empty(), "figures that {path} does not have: {missing:?}");
    }
}

/// Who looks for a plugin reads what it can do in krew's index.
#[test]
fn the_krew_manifest_names_every_verb() {
    let krew = std::fs::read_to_string(root().join("packaging/krew/headroom.yaml")).unwrap();
    let words: Vec<&str> = krew.split(|c: char| !c.is_ascii_alphabetic()).collect();
    let command = kubectl_headroom::command();
    let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set());
    let missing: Vec<&str> = verbs.map(clap::Command::get_name).filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "packaging/krew/headroom.yaml does not name {missing:?}");
    assert!(words.len() > 50, "{krew}");
}
