//! The files of an agent and of a plant: any text is taken or refused with file, line and what was expected.
//!
//! Input: one octet (even: an agent's file, odd: a plant's), then the text. Octets that are no UTF-8 are replaced.

use std::path::Path;

use pep_agent::io::config::AgentConfig;
use pep_agent::io::plant::config::PlantFile;
use pep_agent::io::toml_file::TomlError;

use crate::config_pdp::reads_again;

/// See the module.
pub fn run(octets: &[u8]) {
    let Some((which, text)) = octets.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let file = Path::new("agent.toml");
    let read = |is_told: bool| -> Result<String, TomlError> {
        let told = |config: &dyn core::fmt::Debug| match is_told {
            true => format!("{config:?}"),
            false => String::new(),
        };
        if which % 2 == 0 {
            AgentConfig::from_text(file, &text).map(|config| {
                let things = config.real_things();
                assert!(things.iter().all(|thing| !thing.is_empty()));
                told(&config)
            })
        } else {
            PlantFile::from_text(file, &text).map(|plant| told(&plant))
        }
    };
    let again = reads_again(&text);
    let first = read(again);
    if again {
        assert_eq!(first, read(again), "the same text is the same file");
    }
    if let Err(error) = first {
        let said = error.to_string();
        assert!(said.starts_with("agent.toml"), "{said}");
        assert!(!said.contains('\n'), "one line: {said}");
    }
}
