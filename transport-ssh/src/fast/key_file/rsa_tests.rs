use super::*;

#[tokio::test]
async fn an_sshd_that_takes_one_scheme_alone_has_an_rsa_key_sign_by_that() {
    needs!("sshd", "ssh-keygen", "ps");
    for (scheme, bits) in [("rsa-sha2-256", "2048"), ("rsa-sha2-512", "4096")] {
        let accepted = format!("PubkeyAcceptedAlgorithms {scheme},{scheme}-cert-v01@openssh.com");
        log_in_with(&[(scheme, &["-t", "rsa", "-b", bits])], &accepted).await;
    }
}

#[tokio::test]
async fn an_rsa_key_signs_by_no_other_scheme_than_those_of_rfc_8332() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    let file = keys.make("key", KINDS[4].1);
    let public = file.public().await.unwrap();
    for scheme in ["ssh-rsa", "rsa-sha2-384", ""] {
        let error = file.sign(&user_key(public.clone(), scheme), b"message").await.unwrap_err();
        assert_eq!(KeyFileError::of(&error), Some(&KeyFileError::Kind(scheme.to_owned())));
    }
}

/// A file with an RSA key of these numbers: n, e, d, the inverse of q, p and q.
fn rsa_of(numbers: [&[u8]; 6]) -> String {
    let [n, e, ..] = numbers;
    let private = Writer::new().uint32(7).uint32(7).string("ssh-rsa");
    let private = numbers.iter().fold(private, |writer, number| writer.magnitude(number)).finish();
    armoured(&Writer::new().string("ssh-rsa").magnitude(e).magnitude(n).finish(), &private)
}

#[tokio::test]
async fn reports_rsa_keys_of_unsupported_sizes() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    let short = keys.make("short", &["-t", "rsa", "-b", "1024"]);
    assert_eq!(why(&short).await, KeyFileError::Size);
    let modulus = |bits: usize| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= modulus.len() * 8 - bits;
        modulus
    };
    for (bits, expected) in [
        (1, KeyFileError::Size),
        (2047, KeyFileError::Size),
        (2048, KeyFileError::Malformed),
        (8192, KeyFileError::Malformed),
        (8193, KeyFileError::Size),
        (100_000, KeyFileError::Size),
    ] {
        let of = keys.write("key", rsa_of([&modulus(bits), &[3], &[7; 9], &[7], &[7; 9], &[5; 9]]));
        assert_eq!(why(&of).await, expected, "{bits}");
    }
}

#[test]
fn numbers_that_are_those_of_no_rsa_key_are_an_error() {
    let n = [0xff; 256];
    for wild in [&[][..], &[1], &[2], &[0xff; 255], &n, &[1; 257], &[0xff; 4096]] {
        for place in 1..6 {
            let mut numbers: [&[u8]; 6] = [&n, &[3], &[7; 255], &[7], &[7; 128], &[5; 128]];
            numbers[place] = wild;
            let parsed = PrivateKey::parse(rsa_of(numbers).as_bytes()).map(|_| ());
            assert_eq!(parsed, Err(KeyFileError::Malformed), "{place}: {wild:x?}");
        }
    }
}
