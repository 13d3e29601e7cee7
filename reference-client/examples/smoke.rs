//! smoke
use rejoin_client::{
    Options, Output, Session,
    spec::{Command, ProcessSpec},
};
use rejoin_ssh::CommandConnect;
use std::sync::Arc;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut a = std::env::args().skip(1);
    let server = a.next().unwrap();
    let c = Arc::new(CommandConnect::new(server).arg("attach"));
    let spec = ProcessSpec::new(Command::Shell(a.next().unwrap().into_bytes()));
    let mut s = Session::open(c, &spec, Options::new().unwrap()).unwrap();
    let mut ev = s.events;
    let h = tokio::spawn(async move {
        while let Some(e) = ev.recv().await {
            eprintln!("{e:?}");
        }
    });
    let mut n = 0;
    while let Some(o) = s.output.recv().await {
        match o {
            Output::Data { data, .. } => {
                n += data.len();
                if n < 1000 {
                    print!("{}", String::from_utf8_lossy(&data))
                }
            }
            o => println!("{o:?}"),
        }
    }
    println!("total {n}");
    h.await.unwrap();
}
