//! A report as a page.

mod devices;
mod lines;
mod node;

use super::report::Report;
use lines::Page;

/// The page: what is wrong first, then group by group, then the rest.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    node::headline(&mut page, report);
    devices::table(&mut page, report);
    devices::resources(&mut page, report);
    node::memory(&mut page, report);
    node::made(&mut page, report);
    node::display(&mut page, report);
    node::notes(&mut page, report);
    page.0
}
