//! A process that uses a VF through VFIO, as a DPDK program does, and never lets it go.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use nix::libc;

// include/uapi/linux/vfio.h: _IO(';', 100 + n)
const VFIO_SET_IOMMU: libc::Ioctl = 0x3b66;
const VFIO_GROUP_SET_CONTAINER: libc::Ioctl = 0x3b68;
const VFIO_GROUP_GET_DEVICE_FD: libc::Ioctl = 0x3b6a;
const VFIO_TYPE1_IOMMU: libc::c_ulong = 1;

/// Opens the device, says so with the file `/tmp/held`, and waits to be killed.
pub fn vfio(group: &str, address: &str) -> ! {
    let open = |path: &str| -> File {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let container = open("/dev/vfio/vfio");
    let group = open(group);
    let address = CString::new(address).expect("an address");
    // SAFETY: the three calls get what vfio.h says: a pointer to a descriptor, a number, a
    // pointer to a text, each alive for the call.
    let device = unsafe {
        let fd = container.as_raw_fd();
        assert_eq!(libc::ioctl(group.as_raw_fd(), VFIO_GROUP_SET_CONTAINER, &raw const fd), 0);
        assert_eq!(libc::ioctl(container.as_raw_fd(), VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
        libc::ioctl(group.as_raw_fd(), VFIO_GROUP_GET_DEVICE_FD, address.as_ptr())
    };
    assert!(device >= 0, "the device cannot be opened");
    std::fs::write("/tmp/held", "").expect("writing /tmp/held");
    loop {
        std::thread::park();
    }
}
