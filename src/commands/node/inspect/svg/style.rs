//! Colours and letters. Every colour has words beside it in the picture, for who cannot tell them apart.

/// What a reader without media queries takes is light.
pub(super) const STYLE: &str = "\
.t { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px; fill: #1c2430; }
.m { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 12px; fill: #1c2430; }
.head { font-size: 20px; font-weight: 700; }
.bold { font-weight: 700; }
.small { font-size: 12px; }
.tiny { font-size: 11px; }
.dim { fill: #5b6778; }
.good { fill: #1d7a45; }
.bad { fill: #b3261e; }
.page { fill: #f4f6f9; }
.numa { fill: #ffffff; stroke: #c5cdd8; }
.complex { fill: none; stroke: #c5cdd8; stroke-dasharray: 4 4; }
.group { fill: #eef1f6; stroke: #d5dbe5; }
.card { fill: #ffffff; stroke: #d5dbe5; }
.free { fill: #2e9e5b; }
.along { fill: #2b7fd4; }
.vfio { fill: #8e5bd0; }
.stays { fill: #d9822b; }
.bridge { fill: #9aa5b4; }
@media (prefers-color-scheme: dark) {
.t, .m { fill: #e6eaf0; }
.dim { fill: #9aa7b8; }
.good { fill: #5fd08f; }
.bad { fill: #ff8a80; }
.page { fill: #12161c; }
.numa { fill: #1a2029; stroke: #3a4554; }
.complex { stroke: #3a4554; }
.group { fill: #232b36; stroke: #384352; }
.card { fill: #1a2029; stroke: #384352; }
}
";
