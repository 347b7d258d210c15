//! IOMMU groups, and the cards of the devices in them.

use crate::host::PciDevice;

use super::super::report::{Device, Report, Verdict};
use super::super::rows::Row;
use super::super::words::{self, count, names};
use super::GAP;
use super::pen::{Pen, broken, short};

const CARD: (u32, u32) = (252, 84);
/// Cards side by side in one group.
const ABREAST: usize = 4;
/// Height of a group's own line.
const LABEL: u32 = 24;
const PADDING: u32 = 8;

/// The class of a verdict's colour, and what the colour means.
pub(super) fn colour(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Free => ("free", "can be handed over"),
        Verdict::WithCompanions => ("along", "with others of its group"),
        Verdict::Vfio => ("vfio", "with VFIO already"),
        Verdict::Stays => ("stays", "stays with the host"),
    }
}

/// One card.
#[derive(Debug)]
struct Card {
    class: &'static str,
    address: String,
    ids: String,
    what: String,
    driver: String,
    said: String,
}

/// A group and its cards.
#[derive(Debug)]
pub(super) struct Group {
    label: String,
    cards: Vec<Card>,
}

impl Group {
    /// What is to be drawn of a row.
    pub(super) fn of(report: &Report, row: &Row<'_>) -> Self {
        match row {
            Row::Group { id, devices, platform } => {
                let bridges = platform.iter().map(|bridge| Card::bridge(bridge));
                let label = id.map_or("no IOMMU group".to_owned(), |id| format!("IOMMU group {id}"));
                Self {
                    label,
                    cards: bridges.chain(devices.iter().map(|device| Card::device(report, device))).collect(),
                }
            }
            Row::Functions { ids, physical, devices } => {
                let label = match ids {
                    (Some(first), Some(last)) => format!("IOMMU groups {first} to {last}"),
                    _ => "no IOMMU group".to_owned(),
                };
                let mut cards: Vec<Card> =
                    devices.first().map(|first| Card::device(report, first)).into_iter().collect();
                for (card, last) in cards.iter_mut().zip(devices.last()) {
                    card.what = count(devices.len(), "virtual function");
                    card.said = format!("{}; of {physical}, up to {}", card.said, last.unit.primary);
                }
                Self { label, cards }
            }
        }
    }

    pub(super) fn width(&self) -> u32 {
        let abreast = u32::try_from(self.cards.len().clamp(1, ABREAST)).unwrap_or(1);
        abreast * (CARD.0 + PADDING) + PADDING
    }

    pub(super) fn height(&self) -> u32 {
        let rows = u32::try_from(self.cards.len().div_ceil(ABREAST)).unwrap_or(1);
        LABEL + rows * (CARD.1 + PADDING)
    }

    /// Draws it.
    pub(super) fn draw(&self, pen: &mut Pen, x: u32, y: u32) {
        pen.rect(x, y, self.width(), self.height(), 8, "group");
        pen.text(x + GAP, y + 16, "t dim tiny", &self.label);
        let (mut card_x, mut card_y) = (x + PADDING, y + LABEL);
        for (index, card) in self.cards.iter().enumerate() {
            if index > 0 && index % ABREAST == 0 {
                (card_x, card_y) = (x + PADDING, card_y + CARD.1 + PADDING);
            }
            card.draw(pen, card_x, card_y);
            card_x += CARD.0 + PADDING;
        }
    }
}

impl Card {
    fn device(report: &Report, device: &Device) -> Self {
        let function = report.machine.pci.get(device.unit.primary);
        let class = colour(device.verdict).0;
        Self { class, said: said(report, device), ..Self::facts(function) }
    }

    fn bridge(device: &PciDevice) -> Self {
        Self { class: "bridge", said: "stays with the host".to_owned(), ..Self::facts(Some(device)) }
    }

    fn facts(device: Option<&PciDevice>) -> Self {
        let ids = |device: &PciDevice| format!("{:04x}:{:04x}", device.function.vendor, device.function.device);
        Self {
            class: "bridge",
            address: device.map(|device| device.address().to_string()).unwrap_or_default(),
            ids: device.map(ids).unwrap_or_default(),
            what: device.map(words::class).unwrap_or_default(),
            driver: device.and_then(|device| device.function.driver.clone()).unwrap_or_else(|| "no driver".to_owned()),
            said: String::new(),
        }
    }

    fn draw(&self, pen: &mut Pen, x: u32, y: u32) {
        pen.begin(&format!("{} ({}, {}): {}", self.address, self.what, self.driver, self.said));
        pen.rect(x, y, CARD.0, CARD.1, 6, "card");
        pen.rect(x, y, 6, CARD.1, 3, self.class);
        pen.text(x + 16, y + 19, "m bold", &self.address);
        pen.text_right(x + CARD.0 - 10, y + 19, "m dim tiny", &self.ids);
        pen.text(x + 16, y + 37, "t small", &short(&self.what, 24));
        pen.text_right(x + CARD.0 - 10, y + 37, "t dim small", &short(&self.driver, 15));
        for (line, at) in broken(&self.said, 37, 2).iter().zip([57, 72]) {
            pen.text(x + 16, y + at, "t tiny", line);
        }
        pen.end();
    }
}

/// The verdict on a device in a sentence.
fn said(report: &Report, device: &Device) -> String {
    let others = &device.unit.companions;
    let resource = device.resource.as_ref().map(|name| format!("; resource {name}")).unwrap_or_default();
    match device.verdict {
        Verdict::Free => format!("can be handed over{resource}"),
        Verdict::WithCompanions => format!("goes with {}{resource}", names(others, 4)),
        Verdict::Vfio => match (&device.owner, device.held_by.first()) {
            (Some(owner), _) => format!("with VFIO, prepared for {owner}"),
            (None, Some(who)) => format!("with VFIO, open in {who}"),
            (None, None) => format!("with VFIO, free{resource}"),
        },
        Verdict::Stays => {
            let why = device.unit.refusals.first().map(String::as_str).unwrap_or_default();
            let why = why.strip_prefix(&format!("{} ", device.unit.primary)).unwrap_or(why);
            words::everywhere(report, device).unwrap_or(why).to_owned()
        }
    }
}
