//! `tundelay NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B DELAY_US`: carries IP packets between two TUN devices, one in each network
//! namespace (given as files, such as `/proc/123/ns/net`), and holds every packet for the delay.
//! Stands in for `tc netem delay`, which many kernels are built without.
use std::{
    collections::VecDeque,
    ffi::CString,
    time::{Duration, Instant},
};

fn enter(namespace: &str) {
    let path = CString::new(namespace).expect("a path holds no zero byte");
    // SAFETY: plain system calls on a path and a descriptor of our own.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY);
        assert!(fd >= 0, "cannot open {namespace}");
        assert_eq!(libc::setns(fd, libc::CLONE_NEWNET), 0, "cannot enter {namespace}");
        libc::close(fd);
    }
}

/// Makes a TUN device in the namespace that we are in, and returns its descriptor.
fn tun(device: &str) -> i32 {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: i16,
        padding: [u8; 22],
    }
    const TUNSETIFF: u64 = 0x4004_54ca;
    let mut request = Request { name: [0; 16], flags: (libc::IFF_TUN | libc::IFF_NO_PI) as i16, padding: [0; 22] };
    request.name[..device.len()].copy_from_slice(device.as_bytes());
    // SAFETY: `Request` has the size and layout of the kernel's `struct ifreq`.
    unsafe {
        let fd = libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_NONBLOCK);
        assert!(fd >= 0, "cannot open /dev/net/tun");
        assert_eq!(libc::ioctl(fd, TUNSETIFF as _, &mut request), 0, "cannot make {device}");
        fd
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, namespace_a, device_a, namespace_b, device_b, delay] = &arguments[..] else {
        panic!("usage: tundelay NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B DELAY_US")
    };
    let delay = Duration::from_micros(delay.parse().expect("the delay is a number"));
    enter(namespace_a);
    let a = tun(device_a);
    enter(namespace_b);
    let b = tun(device_b);
    // SAFETY: no memory is involved.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    println!("ready");
    carry([a, b], delay);
}

/// Carries packets until the process is ended.
fn carry(fds: [i32; 2], delay: Duration) {
    let mut queues: [VecDeque<(Instant, Vec<u8>)>; 2] = Default::default();
    let mut buffer = vec![0u8; 65536];
    loop {
        for side in 0..2 {
            loop {
                // SAFETY: the buffer is as long as we say.
                let length = unsafe { libc::read(fds[side], buffer.as_mut_ptr().cast(), buffer.len()) };
                let Ok(length @ 1..) = usize::try_from(length) else { break };
                queues[side].push_back((Instant::now() + delay, buffer[..length].to_vec()));
            }
        }
        let now = Instant::now();
        let mut wait = Duration::from_secs(5);
        for side in 0..2 {
            while let Some((due, packet)) = queues[side].front() {
                if *due > now {
                    wait = wait.min(*due - now);
                    break;
                }
                // SAFETY: the packet is as long as we say.
                unsafe { libc::write(fds[1 - side], packet.as_ptr().cast(), packet.len()) };
                queues[side].pop_front();
            }
        }
        let mut wanted = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let timeout = libc::timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
        // SAFETY: two descriptors, and a timeout that outlives the call.
        unsafe { libc::ppoll(wanted.as_mut_ptr(), 2, &timeout, std::ptr::null()) };
    }
}
