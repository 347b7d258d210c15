//! Loading and unloading kernel modules, as modprobe does it, from files of the host.
//!
//! | file | what it is |
//! |---|---|
//! | `library` | where a module's file is, and what it needs first |
//! | `image` | what a module's file says of itself; unpacking it |
//! | `install` | those that an administrator has a command for, by the node's modprobe |
//! | `options` | the parameters that the node's administrator has set for a module |
//! | `place` | links of the host's, followed as it would |

mod image;
mod install;
mod library;
mod options;
mod place;

use std::fs::File;
use std::path::Path;

use std::ffi::CString;

use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module, init_module};

use crate::host::Root;
use crate::prep::trouble::Trouble;
pub(crate) use image::Image;
pub(crate) use library::Library;

/// `MODULE_INIT_COMPRESSED_FILE` (kernel: include/uapi/linux/module.h): the kernel unpacks the file itself, if it was built to.
const COMPRESSED_FILE: u32 = 4;

/// Modules that need one another in a circle would need us for ever.
const DEEPEST: u32 = 32;

/// A module's name as the kernel writes it.
pub(crate) fn named(module: &str) -> String {
    module.replace('-', "_")
}

/// Whether a module is there now: loaded, or built in with something to show for it.
fn is_live(root: &Root, module: &str) -> bool {
    root.has(format!("sys/module/{module}"))
}

/// Loads a module and whatever it needs: from `from` where it is found there, else the running kernel's.
pub(crate) fn load(root: &Root, module: &str, parameters: &[String], from: Option<&Path>) -> Result<(), Trouble> {
    let name = named(module);
    let libraries = [from, None].into_iter().skip(usize::from(from.is_none()));
    let libraries = libraries.map(|from| Library::open(root, from)).collect::<Result<Vec<_>, _>>()?;
    // One from a folder has to come from there, or the wrong one would be loaded in silence.
    let first = &libraries[..1];
    if is_live(root, &name) {
        return Ok(());
    }
    if from.is_none() && libraries.iter().any(|library| library.is_built_in(&name)) {
        return Ok(());
    }
    if from.is_none() && options::has_install(root, &name) {
        return install::modprobe(root, &name, parameters);
    }
    load_from(root, &name, parameters, first, &libraries, 0)
}

fn load_from(
    root: &Root,
    name: &str,
    parameters: &[String],
    here: &[Library],
    all: &[Library],
    depth: u32,
) -> Result<(), Trouble> {
    if depth > DEEPEST {
        return Err(Trouble::new(format!("module {name} needs itself")));
    }
    // What something else needs; for one that is asked for see above.
    if depth > 0 && options::has_install(root, name) {
        return install::modprobe(root, name, parameters);
    }
    let Some((library, file)) = here.iter().find_map(|library| Some((library, library.file(name)?))) else {
        let places: Vec<String> = here.iter().map(Library::to_string).collect();
        let close = here.first().map_or_else(String::new, |library| library.did_you_mean(name));
        return Err(Trouble::new(format!("there is no module {name} in {}{close}", places.join(" or "))));
    };
    let image = Image::read(root, &file)?;
    for need in library.softly_before(name) {
        if !is_live(root, &need) && !all.iter().any(|library| library.is_built_in(&need)) {
            // It would like to have it, and does without.
            let _ = load_from(root, &need, &[], all, all, depth + 1);
        }
    }
    for need in image.needs() {
        if !is_live(root, &need) && !all.iter().any(|library| library.is_built_in(&need)) {
            load_from(root, &need, &[], all, all, depth + 1)?;
        }
    }
    // What was asked for comes last, and counts.
    let parameters = [options::options(root, name), parameters.to_vec()].concat();
    insert(root, name, &parameters.join(" "), &image)
}

/// Gives one file to the kernel.
fn insert(root: &Root, name: &str, parameters: &str, image: &Image) -> Result<(), Trouble> {
    let Ok(arguments) = CString::new(parameters) else {
        return Err(Trouble::new(format!("module {name}: a parameter has a NUL in it")));
    };
    let path = image.path();
    let open = || File::open(path).map_err(|error| Trouble::io(format_args!("cannot read {}", path.display()), &error));
    // By its file, the kernel knows where it comes from, which IMA and LoadPin ask for.
    let flags =
        if image.is_packed() { ModuleInitFlags::from_bits_retain(COMPRESSED_FILE) } else { ModuleInitFlags::empty() };
    let outcome = match finit_module(open()?, &arguments, flags) {
        // It cannot unpack, or not this kind.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) if image.is_packed() => {
            init_module(image.bytes(), &arguments)
        }
        outcome => outcome,
    };
    match outcome {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(refused(root, name, parameters, image, errno)),
    }
}

/// Why the kernel does not take a module, and what to do.
fn refused(root: &Root, name: &str, parameters: &str, image: &Image, errno: Errno) -> Trouble {
    let disabled = root.text("proc/sys/kernel/modules_disabled").ok().flatten().as_deref() == Some("1");
    let lockdown = root.text("sys/kernel/security/lockdown").ok().flatten().unwrap_or_default();
    let lockdown = lockdown.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(mode, _)| mode);
    let why = match errno {
        Errno::EPERM if disabled => "loading modules is switched off until the next boot (kernel.modules_disabled)".to_owned(),
        Errno::EPERM if lockdown.is_some_and(|mode| mode != "none") => {
            format!("kernel lockdown ({}) refuses it: sign it with a key the kernel trusts", lockdown.unwrap_or_default())
        }
        Errno::EPERM => "this process may not load modules: it needs CAP_SYS_MODULE".to_owned(),
        Errno::EKEYREJECTED | Errno::ENOKEY => {
            "its signature is missing or of no key the kernel trusts (Secure Boot): sign it, and enroll the key with mokutil".to_owned()
        }
        Errno::ENOEXEC => match (image.field("vermagic"), root.text("proc/sys/kernel/osrelease").ok().flatten()) {
            (Some(built), Some(running)) if built.split_ascii_whitespace().next() != Some(&*running) => {
                format!("it is built for kernel {built:?} and {running} is running: take a build for that")
            }
            (built, _) => format!("it is no module for this kernel (vermagic {:?}); dmesg tells more", built.unwrap_or_default()),
        },
        Errno::ENOENT => match parameters {
            "" => "it needs a symbol that nothing provides, or another build of what it needs; dmesg names it".to_owned(),
            _ => format!("it needs a symbol that nothing provides, or has no such parameter as in {parameters:?}; dmesg names it"),
        },
        Errno::EINVAL if !parameters.is_empty() => format!("it does not take {parameters:?}, or is a build for another kernel; dmesg tells more"),
        Errno::ENODEV => "it finds no device or feature it is for".to_owned(),
        errno => std::io::Error::from(errno).to_string(),
    };
    Trouble {
        message: format!("module {name} ({}) was not loaded: {why}", image.path().display()),
        errno: Some(errno as i32),
    }
}

/// Unloads one module; one that is not loaded is no error.
pub(crate) fn unload(root: &Root, module: &str) -> Result<(), Trouble> {
    let name = named(module);
    let Ok(argument) = CString::new(name.as_str()) else {
        return Err(Trouble::new(format!("{module:?} is no module's name")));
    };
    // Not waiting: a module in use is refused now rather than gone some day.
    match delete_module(&argument, DeleteModuleFlags::O_NONBLOCK) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => {
            let why = match errno {
                Errno::EBUSY | Errno::EWOULDBLOCK => users(root, &name).unwrap_or_else(|| "it is in use".to_owned()),
                errno => std::io::Error::from(errno).to_string(),
            };
            Err(Trouble { message: format!("module {name} was not unloaded: {why}"), errno: Some(errno as i32) })
        }
    }
}

/// Who uses a module, in words; `None` if nobody does.
pub(crate) fn users(root: &Root, name: &str) -> Option<String> {
    let folder = format!("sys/module/{name}");
    let count: u64 = root.text(format!("{folder}/refcnt")).ok()??.parse().ok()?;
    let holders = root.names(format!("{folder}/holders")).unwrap_or_default();
    let text = match (count, holders.as_slice()) {
        (0, []) => return None,
        (count, []) => format!("it is in use ({count} references)"),
        (count, holders) => {
            let others = count.saturating_sub(holders.len() as u64);
            let others = if others > 0 { format!(" and {others} more references") } else { String::new() };
            format!("it is used by module {}{others}", holders.join(", "))
        }
    };
    let mut devices = Vec::new();
    for driver in root.names(format!("{folder}/drivers")).unwrap_or_default() {
        let bound = root.names(format!("{folder}/drivers/{driver}")).unwrap_or_default();
        devices.extend(bound.into_iter().filter(|name| name.contains(':')));
    }
    Some(if devices.is_empty() { text } else { format!("{text}; it drives {}", devices.join(", ")) })
}
