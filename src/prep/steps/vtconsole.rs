//! Taking the text consoles off the frame buffers, so that nobody draws on a display that is given away.
//!
//! `/sys/class/vtconsole/vtconN`: the one whose name has "frame buffer device" in it is fbcon, whatever its number. Writing 0 to its
//! `bind` makes the dummy console take over; 1 gives the consoles back (kernel: Documentation/driver-api/console.rst).

use serde::{Deserialize, Serialize};

use super::sysfs::write;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Take the consoles off all frame buffers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseConsoles {}

/// The console drivers that draw on frame buffers, and whether they have the consoles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsolesState {
    /// In the order of their names.
    pub consoles: Vec<Console>,
    /// How many frame buffers there are: the consoles leave them all.
    #[serde(default)]
    pub framebuffers: usize,
}

/// One console driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// `vtcon1`.
    pub name: String,
    /// Whether it has the consoles.
    pub bound: bool,
}

const FOLDER: &str = "sys/class/vtconsole";
const GRAPHICS: &str = "sys/class/graphics";

impl Kind for ReleaseConsoles {
    type State = ConsolesState;

    fn describe(&self) -> String {
        "take the text consoles off the frame buffers".to_owned()
    }

    fn effect(&self) -> Effect {
        Effect::shared("frame buffer consoles")
    }

    fn observe(&self, root: &Root) -> Result<ConsolesState, Trouble> {
        let mut consoles = Vec::new();
        for name in root.names(FOLDER)? {
            let file = |file| root.text(format!("{FOLDER}/{name}/{file}"));
            if !file("name")?.is_some_and(|what| what.contains("frame buffer device")) {
                continue;
            }
            let bound = file("bind")?.is_some_and(|text| text == "1");
            consoles.push(Console { name, bound });
        }
        let number = |name: &String| name.strip_prefix("fb").is_some_and(|rest| rest.parse::<u32>().is_ok());
        let framebuffers = root.names(GRAPHICS)?.iter().filter(|name| number(name)).count();
        Ok(ConsolesState { consoles, framebuffers })
    }

    fn remark(&self, original: &ConsolesState, wanted: &ConsolesState) -> Option<String> {
        // The kernel has one console driver for all of them (drivers/video/fbdev/core/fbcon.c).
        (original.consoles != wanted.consoles && original.framebuffers > 1).then(|| {
            format!(
                "the text consoles leave all {} frame buffers of this node until they come back",
                original.framebuffers
            )
        })
    }

    fn wanted(&self, now: &ConsolesState) -> Result<ConsolesState, Trouble> {
        let consoles = now.consoles.iter().map(|console| Console { bound: false, ..console.clone() }).collect();
        Ok(ConsolesState { consoles, ..now.clone() })
    }

    fn moves(&self, from: &ConsolesState, to: &ConsolesState, attempt: u32) -> Vec<Action> {
        if attempt > 0 {
            return Vec::new();
        }
        let mut moves = Vec::new();
        for console in &to.consoles {
            if from.get(&console.name).is_some_and(|from| from.bound != console.bound) {
                moves.extend(write(format!("{FOLDER}/{}/bind", console.name), u8::from(console.bound).to_string()));
            }
        }
        moves
    }

    fn reached(&self, goal: &ConsolesState, now: &ConsolesState) -> Reached {
        let mut gone = Vec::new();
        for console in &goal.consoles {
            match now.get(&console.name) {
                Some(now) if now.bound == console.bound => (),
                Some(now) => {
                    let has = if now.bound { "still has" } else { "has not got" };
                    return Reached::No(format!("frame buffer console {} {has} the text consoles", now.name));
                }
                // It goes with the last frame buffer, and comes with the next one, which it then takes by itself.
                None if console.bound => gone.push(console.name.as_str()),
                None => (),
            }
        }
        match gone.as_slice() {
            [] => Reached::Yes,
            gone => Reached::Enough(format!("there is no frame buffer console {} any more", gone.join(", "))),
        }
    }
}

impl ConsolesState {
    fn get(&self, name: &str) -> Option<&Console> {
        self.consoles.iter().find(|console| console.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STEP: ReleaseConsoles = ReleaseConsoles {};

    fn state(consoles: &[(&str, bool)]) -> ConsolesState {
        let console = |(name, bound): &(&str, bool)| Console { name: (*name).to_owned(), bound: *bound };
        ConsolesState { consoles: consoles.iter().map(console).collect(), framebuffers: 1 }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn exactly_those_that_were_bound_come_back() {
        let original = state(&[("vtcon1", true), ("vtcon2", false)]);
        let wanted = STEP.wanted(&original).unwrap();
        assert_eq!(told(&STEP.moves(&original, &wanted, 0)), [r#"write "0" to /sys/class/vtconsole/vtcon1/bind"#]);
        assert!(matches!(STEP.reached(&wanted, &original), Reached::No(_)));
        let goal = STEP.undone(&original, &wanted, &wanted);
        assert_eq!(told(&STEP.moves(&wanted, &goal, 0)), [r#"write "1" to /sys/class/vtconsole/vtcon1/bind"#]);
    }

    #[test]
    fn one_that_vanished_is_skipped_and_named() {
        let original = state(&[("vtcon1", true)]);
        let (wanted, now) = (STEP.wanted(&original).unwrap(), state(&[]));
        assert_eq!(STEP.moves(&now, &original, 0), []);
        assert_eq!(
            STEP.reached(&original, &now),
            Reached::Enough("there is no frame buffer console vtcon1 any more".to_owned())
        );
        // That one which is to have nothing is gone is all right.
        assert_eq!(STEP.reached(&wanted, &now), Reached::Yes);
    }

    #[test]
    fn only_frame_buffer_consoles_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for (console, name, bind) in [
            ("vtcon0", "(S) dummy device", "0"),
            ("vtcon1", "(M) frame buffer device", "1"),
            ("vtcon2", "(S) VGA+", "1"),
        ] {
            let path = folder.path().join(FOLDER).join(console);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("name"), format!("{name}\n")).unwrap();
            fs::write(path.join("bind"), format!("{bind}\n")).unwrap();
        }
        for name in ["fb0", "fbcon"] {
            fs::create_dir_all(folder.path().join(GRAPHICS).join(name)).unwrap();
        }
        assert_eq!(STEP.observe(&Root::new(folder.path())).unwrap(), state(&[("vtcon1", true)]));
        assert_eq!(STEP.observe(&Root::new("/nonexistent")).unwrap(), ConsolesState { framebuffers: 0, ..state(&[]) });
    }

    #[test]
    fn other_displays_that_lose_the_consoles_are_told_of() {
        let original = state(&[("vtcon1", true)]);
        let remark = |original: &ConsolesState| STEP.remark(original, &STEP.wanted(original).unwrap());
        assert_eq!(remark(&original), None);
        assert_eq!(
            remark(&ConsolesState { framebuffers: 2, ..original }).unwrap(),
            "the text consoles leave all 2 frame buffers of this node until they come back"
        );
        assert_eq!(remark(&ConsolesState { framebuffers: 2, ..state(&[("vtcon1", false)]) }), None);
    }
}
