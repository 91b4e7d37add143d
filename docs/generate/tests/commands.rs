//! What the documents tell people to type could work.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use headroom_docs::{
    blocks::documents,
    commands::{Reading, check},
    root, shell,
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
fn numbers(text: &str) -> std::collections::BTreeSet<String> {
    let text: String = text.split("```").step_by(2).collect();
    let figure = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let words = text.split(|c: char| !figure(c)).map(|word| word.trim_matches([',', '.']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A translation has the same parts, the same commands and the same figures.
#[test]
fn the_chinese_readme_is_in_step() {
    let all = documents(&root()).unwrap();
    let named = |name: &str| all.iter().find(|document| document.path.to_str() == Some(name)).unwrap();
    let (english, chinese) = (named("README.md"), named("README.zh-CN.md"));
    let parts = |text: &str| text.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(parts(&english.text), parts(&chinese.text), "parts");
    let commands = |document: &headroom_docs::blocks::Document| {
        let blocks = document.blocks().into_iter().filter(headroom_docs::blocks::Block::is_shell);
        blocks.map(|block| (block.info.clone(), shell::commands(&block.text))).collect::<Vec<_>>()
    };
    assert_eq!(commands(english), commands(chinese), "commands");
    let missing: Vec<_> = numbers(&english.text).difference(&numbers(&chinese.text)).cloned().collect();
    assert!(missing.is_empty(), "figures that README.zh-CN.md does not have: {missing:?}");
}
