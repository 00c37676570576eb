//! The codecs against blocks built by hand, value by value, and against bounds on what rounding may lose.

use half::f16;
use torchless_quant::TensorType;

/// A small generator (SplitMix64), so that the cases are many and always the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u8 {
        (self.next() % limit) as u8
    }

    /// Between -1 and 1.
    fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
}

fn decode(ty: TensorType, data: &[u8], scales: &[u8]) -> Vec<f32> {
    let values = data.len() / ty.info().block_bytes * ty.info().block_len;
    let mut out = vec![f32::NAN; values];
    ty.decode(data, scales, &mut out);
    out
}

fn encode(ty: TensorType, values: &[f32]) -> (Vec<u8>, Vec<u8>) {
    let mut data = vec![0; ty.row_bytes(values.len()).expect("whole blocks")];
    let mut scales = vec![0; ty.row_scale_bytes(values.len()).expect("whole blocks")];
    assert!(ty.encode(values, &mut data, &mut scales), "{ty} has an encoder");
    (data, scales)
}

/// Sets `count` bits of `bytes` from bit `at` on, bit 0 being the lowest of the first byte.
fn put_bits(bytes: &mut [u8], at: usize, count: usize, value: u8) {
    for bit in 0..count {
        bytes[(at + bit) / 8] |= (value >> bit & 1) << ((at + bit) % 8);
    }
}

#[test]
fn rows_of_the_table_are_sound() {
    for &ty in TensorType::ALL {
        let info = ty.info();
        assert_eq!(TensorType::from_name(info.name), Some(ty));
        assert_eq!(TensorType::from_name(&info.name.to_lowercase()), Some(ty));
        if let Some(id) = info.ggml_id {
            assert_eq!(TensorType::from_ggml_id(id), Some(ty));
        }
        assert_eq!(ty.row_bytes(3 * info.block_len), Some(3 * info.block_bytes));
        assert_eq!(ty.row_bytes(info.block_len + 1).is_some(), info.block_len == 1);
        assert_eq!(ty.to_string(), info.name);
    }
    assert_eq!(TensorType::F32.row_bytes(usize::MAX / 2), None);
    assert_eq!(TensorType::from_ggml_id(4), None);
    assert_eq!(TensorType::from_name("Q4_2"), None);
}

#[test]
#[should_panic(expected = "other plane sizes")]
fn short_data_is_refused() {
    TensorType::Q4_0.decode(&[0; 17], &[], &mut [0.0; 32]);
}

#[test]
fn floats() {
    assert_eq!(decode(TensorType::F32, &1.5f32.to_le_bytes(), &[]), [1.5]);
    assert_eq!(
        decode(TensorType::F16, &[0x00, 0x3e, 0x01, 0x00, 0x00, 0xfc], &[]),
        [1.5, 2f32.powi(-24), f32::NEG_INFINITY]
    );
    assert_eq!(decode(TensorType::BF16, &[0xc0, 0x3f, 0x80, 0xff], &[]), [1.5, f32::NEG_INFINITY]);
    assert_eq!(
        encode(TensorType::F16, &[1.5, 65520.0, 1.0 + 2f32.powi(-11)]).0,
        [0x00, 0x3e, 0x00, 0x7c, 0x00, 0x3c]
    );
    // 1 + 2^-8 lies between two neighbours and goes to the even one; one bit more goes up.
    let (bf16, _) = encode(TensorType::BF16, &[1.0 + 2f32.powi(-8), 1.0 + 2f32.powi(-8) + 2f32.powi(-20)]);
    assert_eq!(bf16, [0x80, 0x3f, 0x81, 0x3f]);
}

/// Blocks of 32: value `i` of 4 bits is nibble `i / 16` of byte `i % 16`; a fifth bit is bit `i` of a word.
#[test]
fn blocks_of_32() {
    let mut random = Random(1);
    for _ in 0..50 {
        let codes: Vec<u8> = (0..32).map(|_| random.below(32)).collect();
        let (d, m) = (f16::from_f32(random.value()).to_f32(), f16::from_f32(random.value()).to_f32());
        let mut low = vec![0; 16];
        let mut fifth = vec![0; 4];
        for (i, code) in codes.iter().enumerate() {
            put_bits(&mut low, i % 16 * 8 + i / 16 * 4, 4, code & 15);
            put_bits(&mut fifth, i, 1, code >> 4);
        }
        let four =
            |f: &dyn Fn(f32) -> f32| codes.iter().map(|code| f(f32::from(code & 15))).collect::<Vec<_>>();
        let five = |f: &dyn Fn(f32) -> f32| codes.iter().map(|&code| f(f32::from(code))).collect::<Vec<_>>();
        let check =
            |ty, parts: &[&[u8]], want: Vec<f32>| assert_eq!(decode(ty, &parts.concat(), &[]), want, "{ty}");
        check(TensorType::Q4_0, &[&halves(&[d]), &low], four(&|q| (q - 8.0) * d));
        check(TensorType::Q4_1, &[&halves(&[d, m]), &low], four(&|q| q * d + m));
        check(TensorType::Q5_0, &[&halves(&[d]), &fifth, &low], five(&|q| (q - 16.0) * d));
        check(TensorType::Q5_1, &[&halves(&[d, m]), &fifth, &low], five(&|q| q * d + m));
        let signed: Vec<u8> = codes.iter().map(|code| code.wrapping_mul(37)).collect();
        let want = signed.iter().map(|&q| f32::from(q as i8) * d).collect();
        check(TensorType::Q8_0, &[&halves(&[d]), &signed], want);
    }
}

#[test]
fn iq4_nl_levels_rise_from_minus_127_to_113() {
    let low: Vec<u8> = (0..16).map(|i| i | (15 - i) << 4).collect();
    let values = decode(TensorType::IQ4_NL, &[halves(&[0.5]), low].concat(), &[]);
    assert_eq!(values[..4], [-63.5, -52.0, -41.5, -32.5]);
    assert_eq!((values[7], values[8], values[15]), (-5.0, 0.5, 56.5));
    assert!(values[..16].is_sorted());
    assert!(values[16..].iter().eq(values[..16].iter().rev()));
}

/// The scales of Q4_K and Q5_K: pair `j < 4` in the low 6 bits of bytes `j` and `j + 4`; of pair `j >= 4` the low
/// nibbles share byte `j + 4`, and the upper two bits top the bytes `j - 4` and `j`.
fn pack_six_bit_pairs(pairs: &[(u8, u8); 8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    for (j, &(scale, min)) in pairs.iter().enumerate() {
        if j < 4 {
            put_bits(&mut bytes, j * 8, 6, scale);
            put_bits(&mut bytes, (j + 4) * 8, 6, min);
        } else {
            put_bits(&mut bytes, (j + 4) * 8, 4, scale & 15);
            put_bits(&mut bytes, (j + 4) * 8 + 4, 4, min & 15);
            put_bits(&mut bytes, (j - 4) * 8 + 6, 2, scale >> 4);
            put_bits(&mut bytes, j * 8 + 6, 2, min >> 4);
        }
    }
    bytes
}

#[test]
fn q4_k_and_q5_k() {
    let mut random = Random(2);
    for _ in 0..50 {
        let (d, dmin) = (f16::from_f32(random.value()).to_f32(), f16::from_f32(random.value()).to_f32());
        let pairs: [(u8, u8); 8] = std::array::from_fn(|_| (random.below(64), random.below(64)));
        let codes: Vec<u8> = (0..256).map(|_| random.below(32)).collect();
        let mut low = vec![0; 128];
        let mut high = vec![0; 32];
        for (i, code) in codes.iter().enumerate() {
            // Two sub-blocks of 32 share 32 bytes, one in each nibble; their fifth bits are a bit of 32 bytes each.
            put_bits(&mut low, (i / 64 * 32 + i % 32) * 8 + i / 32 % 2 * 4, 4, code & 15);
            put_bits(&mut high, i % 32 * 8 + i / 32, 1, code >> 4);
        }
        let want = |mask: u8| -> Vec<f32> {
            let value = |(i, code): (usize, &u8)| {
                let (scale, min) = pairs[i / 32];
                d * f32::from(scale) * f32::from(code & mask) - dmin * f32::from(min)
            };
            codes.iter().enumerate().map(value).collect()
        };
        let head = [halves(&[d, dmin]), pack_six_bit_pairs(&pairs)].concat();
        assert_eq!(decode(TensorType::Q4_K, &[head.clone(), low.clone()].concat(), &[]), want(15));
        assert_eq!(decode(TensorType::Q5_K, &[head, high, low].concat(), &[]), want(31));
    }
}

/// Two-bit codes: half `i / 128` in 32 bytes, group of 32 `i / 32 % 4` in two bits of each.
fn put_two_bits(low: &mut [u8], i: usize, code: u8) {
    put_bits(low, (i / 128 * 32 + i % 32) * 8 + i / 32 % 4 * 2, 2, code & 3);
}

#[test]
fn q2_k_and_q3_k() {
    let mut random = Random(3);
    for _ in 0..50 {
        let (d, dmin) = (f16::from_f32(random.value()).to_f32(), f16::from_f32(random.value()).to_f32());
        let pairs: Vec<(u8, u8)> = (0..16).map(|_| (random.below(16), random.below(16))).collect();
        let six: Vec<u8> = (0..16).map(|_| random.below(64)).collect();
        let codes: Vec<u8> = (0..256).map(|_| random.below(8)).collect();
        let (mut low, mut mask, mut packed) = (vec![0; 64], vec![0; 32], vec![0; 12]);
        for (i, &code) in codes.iter().enumerate() {
            put_two_bits(&mut low, i, code);
            put_bits(&mut mask, i % 32 * 8 + i / 32, 1, code >> 2);
        }
        for (j, scale) in six.iter().enumerate() {
            put_bits(&mut packed, j % 8 * 8 + j / 8 * 4, 4, scale & 15);
            put_bits(&mut packed, (8 + j % 4) * 8 + j / 4 * 2, 2, scale >> 4);
        }
        let nibbles: Vec<u8> = pairs.iter().map(|(scale, min)| scale | min << 4).collect();
        let of_16 = |f: &dyn Fn(usize, u8) -> f32| -> Vec<f32> {
            codes.iter().enumerate().map(|(i, &code)| f(i / 16, code)).collect()
        };
        let q2 =
            of_16(&|j, code| d * f32::from(pairs[j].0) * f32::from(code & 3) - dmin * f32::from(pairs[j].1));
        assert_eq!(decode(TensorType::Q2_K, &[nibbles, low.clone(), halves(&[d, dmin])].concat(), &[]), q2);
        let q3 = of_16(&|j, code| d * (f32::from(six[j]) - 32.0) * (f32::from(code) - 4.0));
        assert_eq!(decode(TensorType::Q3_K, &[mask, low, packed, halves(&[d])].concat(), &[]), q3);
    }
}

#[test]
fn q6_k() {
    let mut random = Random(4);
    for _ in 0..50 {
        let d = f16::from_f32(random.value()).to_f32();
        let scales: Vec<u8> = (0..16).map(|_| random.next() as u8).collect();
        let codes: Vec<u8> = (0..256).map(|_| random.below(64)).collect();
        let (mut low, mut high) = (vec![0; 128], vec![0; 64]);
        for (i, &code) in codes.iter().enumerate() {
            let (half, run, at) = (i / 128, i / 32 % 4, i % 32);
            put_bits(&mut low, (half * 64 + run % 2 * 32 + at) * 8 + run / 2 * 4, 4, code & 15);
            put_bits(&mut high, (half * 32 + at) * 8 + run * 2, 2, code >> 4);
        }
        let value = |(i, &code): (usize, &u8)| d * f32::from(scales[i / 16] as i8) * (f32::from(code) - 32.0);
        let want: Vec<f32> = codes.iter().enumerate().map(value).collect();
        assert_eq!(decode(TensorType::Q6_K, &[low, high, scales, halves(&[d])].concat(), &[]), want);
    }
}

/// FNV-1a over the bits of the values; NaN is one value.
fn fingerprint(values: &[f32]) -> u64 {
    values.iter().fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
        (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A hundred blocks of arbitrary bytes (256 for a type of single values), against what ggml makes of them.
#[test]
fn arbitrary_blocks_decode_as_in_ggml() {
    let cases = [
        (TensorType::IQ1_S, 0x5392_a93e_34cf_27e5),
        (TensorType::IQ1_M, 0x8fba_09d6_48ae_1225),
        (TensorType::IQ2_XXS, 0x934f_0554_5b05_2f85),
        (TensorType::IQ2_XS, 0x0430_7dd1_6065_92a5),
        (TensorType::IQ2_S, 0x26c4_72f5_1b89_c709),
        (TensorType::IQ3_XXS, 0x12e3_832f_efa9_72ad),
        (TensorType::IQ3_S, 0x176c_c4f5_5d7d_a3a5),
        (TensorType::IQ4_XS, 0x50d4_d572_ed56_9aa3),
        (TensorType::TQ1_0, 0x98fd_7f50_6e88_9325),
        (TensorType::TQ2_0, 0x0d1d_8ba6_8894_b325),
        (TensorType::Q1_0, 0xc32f_1687_8793_4b25),
        (TensorType::Q2_0, 0x312b_24a2_d806_5725),
        (TensorType::MXFP4, 0xcc5b_fa0a_9caf_dd25),
        (TensorType::NVFP4, 0x5a2f_e4a4_f6f9_9725),
        (TensorType::F8_E4M3, 0xa455_9cb6_766b_b725),
        (TensorType::Q8_K, 0xe64b_b2ac_c747_2016),
    ];
    for (ty, want) in cases {
        let (id, bytes) = (ty.info().ggml_id.expect("a type of GGUF"), ty.info().block_bytes);
        let mut random = Random(u64::from(id));
        let data: Vec<u8> =
            (0..if bytes == 1 { 256 } else { 100 * bytes }).map(|_| random.next() as u8).collect();
        assert_eq!(fingerprint(&decode(ty, &data, &[])), want, "{ty}");
    }
}

#[test]
fn i2_s_has_its_first_quarter_in_the_highest_bits() {
    let mut bytes = [0b01_01_01_01; 32];
    bytes[3] = 0b10_01_00_01;
    let values = decode(TensorType::I2_S, &bytes, &0.5f32.to_le_bytes());
    for (i, value) in values.iter().enumerate() {
        let want = match i {
            3 => 0.5,
            67 => -0.5,
            _ => 0.0,
        };
        assert_eq!(*value, want, "value {i}");
    }
}

#[test]
fn mxfp4_in_planes_is_mxfp4_in_another_order() {
    let mut random = Random(6);
    for _ in 0..50 {
        let codes: Vec<u8> = (0..32).map(|_| random.below(16)).collect();
        let exponent = random.below(255);
        let mut block = vec![exponent];
        block.extend((0..16).map(|i| codes[i] | codes[i + 16] << 4));
        let planes: Vec<u8> = codes.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
        let want = decode(TensorType::MXFP4, &block, &[]);
        assert_eq!(decode(TensorType::MXFP4Planes, &planes, &[exponent]), want);
    }
}

#[test]
fn nvfp4_may_have_a_scale_for_all() {
    let mut random = Random(7);
    let blocks: Vec<u8> = (0..72).map(|_| random.below(127)).collect();
    let scales = [0.5f32, 3e-4].map(f32::to_le_bytes).concat();
    let plain = decode(TensorType::NVFP4, &blocks, &[]);
    let want: Vec<f32> = plain.iter().enumerate().map(|(i, v)| v * if i < 64 { 0.5 } else { 3e-4 }).collect();
    let scaled = decode(TensorType::NVFP4_G64, &blocks, &scales);
    assert!(scaled.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs()), "{scaled:?} {want:?}");
}

#[test]
fn eight_bit_floats() {
    let values = decode(TensorType::F8_E4M3, &[0x00, 0x01, 0x08, 0x38, 0x7e, 0xc0, 0x7f], &[]);
    assert_eq!(values[..6], [0.0, 2f32.powi(-9), 2f32.powi(-6), 1.0, 448.0, -2.0]);
    assert!(values[6].is_nan());
    let values = decode(TensorType::F8_E5M2, &[0x01, 0x3c, 0x7b, 0xc4, 0x7c], &[]);
    assert_eq!(values, [2f32.powi(-16), 1.0, 57344.0, -4.0, f32::INFINITY]);
    let bytes: Vec<u8> = (0..64).collect();
    let scales = [0.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat();
    let plain = decode(TensorType::F8_E4M3, &bytes, &[]);
    let scaled = decode(TensorType::F8_E4M3_G32, &bytes, &scales);
    assert_eq!((scaled[5], scaled[31], scaled[32]), (plain[5] * 0.5, plain[31] * 0.5, plain[32] * -2.0));
}

#[test]
fn integers_and_doubles_become_single_precision() {
    assert_eq!(decode(TensorType::F64, &0.1f64.to_le_bytes(), &[]), [0.1]);
    assert_eq!(decode(TensorType::I8, &[0x80, 0x7f], &[]), [-128.0, 127.0]);
    assert_eq!(decode(TensorType::I16, &(-300i16).to_le_bytes(), &[]), [-300.0]);
    assert_eq!(decode(TensorType::I32, &i32::MIN.to_le_bytes(), &[]), [-2147483648.0]);
    assert_eq!(decode(TensorType::I64, &(1i64 << 40).to_le_bytes(), &[]), [(1u64 << 40) as f32]);
}

/// What rounding may lose, as a share of the block's extent: half a step, and the error of the f16 scale. The types
/// without a minimum lose up to a whole step at the end that their codes do not reach.
#[test]
fn encoding_loses_no_more_than_it_must() {
    let mut random = Random(5);
    let cases = [
        (TensorType::F32, 0.0),
        (TensorType::F16, 1.0 / 2048.0),
        (TensorType::BF16, 1.0 / 256.0),
        (TensorType::Q8_0, 0.5 / 127.0 + 1.0 / 1024.0),
        (TensorType::Q5_1, 1.0 / 31.0 + 2.0 / 1024.0),
        (TensorType::Q5_0, 1.0 / 16.0 + 1.0 / 1024.0),
        (TensorType::Q4_1, 1.0 / 15.0 + 2.0 / 1024.0),
        (TensorType::Q4_0, 1.0 / 8.0 + 1.0 / 1024.0),
        (TensorType::Int8G64, 0.5 / 127.0 + 1e-6),
    ];
    for (ty, bound) in cases {
        let values: Vec<f32> = (0..64 * 64).map(|i| random.value() * 10f32.powi(i / 64 % 5 - 1)).collect();
        let (data, scales) = encode(ty, &values);
        let back = decode(ty, &data, &scales);
        for (block, (values, back)) in values.chunks(64).zip(back.chunks(64)).enumerate() {
            let amax = values.iter().fold(0f32, |amax, v| amax.max(v.abs()));
            for (value, back) in values.iter().zip(back) {
                assert!((value - back).abs() <= bound * amax, "{ty} block {block}: {value} became {back}");
            }
        }
    }
}

#[test]
fn rounding_follows_the_reference() {
    // d = 127 / 127 = 1: ties go away from zero.
    let mut values = [0.0f32; 32];
    values[..5].copy_from_slice(&[127.0, 0.5, -0.5, 1.5, -2.5]);
    let (q8, _) = encode(TensorType::Q8_0, &values);
    assert_eq!(q8[..7], [0x00, 0x3c, 127, 1, 255, 2, 253]);
    // The value of greatest magnitude keeps its sign: it is code 0, and d has the other sign.
    values = [0.0; 32];
    values[0] = 8.0;
    values[16] = -7.0;
    let (q4, _) = encode(TensorType::Q4_0, &values);
    assert_eq!(q4[..3], [0x00, 0xbc, 0xf0]);
    assert_eq!(decode(TensorType::Q4_0, &q4, &[])[0], 8.0);
}

#[test]
fn native_int8_groups() {
    let mut values = [0.0f32; 128];
    values[..6].copy_from_slice(&[254.0, 1.0, 3.0, -5.0, -254.0, 2.0]);
    let (data, scales) = encode(TensorType::Int8G64, &values);
    // scale = 127 / 254 = 0.5: ties go to the even code. The second group is all zero: a finite scale.
    assert_eq!(data[..6], [127, 0, 2, 254, 129, 1]);
    assert_eq!(scales, [0.5f32.to_le_bytes(), 1.0f32.to_le_bytes()].concat());
    let back = decode(TensorType::Int8G64, &data, &scales);
    assert_eq!(back[..6], [254.0, 0.0, 4.0, -4.0, -254.0, 2.0]);
    assert!(back[64..].iter().all(|&value| value == 0.0));
    // A group so small that 127 / amax is no number any more.
    let (data, scales) = encode(TensorType::Int8G64, &[1e-40; 64]);
    assert!(decode(TensorType::Int8G64, &data, &scales).iter().all(|value| value.is_finite()));
}

/// A codebook need not have a point of equal coordinates.
#[test]
fn constant_and_zero_blocks_come_back() {
    for &ty in TensorType::ALL.iter().filter(|ty| ty.info().encode.is_some()) {
        let codebook = matches!(ty.info().name.get(..3), Some("IQ1" | "IQ2" | "IQ3"));
        for value in [0.0f32, 2.0, -4.0] {
            let (data, scales) = encode(ty, &[value; 256]);
            let back = decode(ty, &data, &scales);
            let bound = value.abs() * if codebook { 0.8 } else { 1.0 / 16.0 };
            assert!(
                back.iter().all(|back| (back - value).abs() <= bound),
                "{ty} of {value}: {:?}",
                &back[..4]
            );
        }
    }
}

/// Values of about normal distribution: the sum of twelve even ones.
fn normal(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| (0..12).map(|_| random.value()).sum::<f32>() * 0.01).collect()
}

fn squared_error(ty: TensorType, values: &[f32], importance: &[f32]) -> f64 {
    let mut data = vec![0; ty.row_bytes(values.len()).expect("whole blocks")];
    let mut scales = vec![0; ty.row_scale_bytes(values.len()).expect("whole blocks")];
    assert!(ty.encode_weighted(values, importance, &mut data, &mut scales), "{ty} has an encoder");
    let back = decode(ty, &data, &scales);
    let weight = |i: usize| if importance.is_empty() { 1.0 } else { importance[i % importance.len()] };
    let pairs = values.iter().zip(back).enumerate();
    pairs.map(|(i, (v, b))| f64::from(weight(i)) * f64::from(v - b).powi(2)).sum()
}

/// The error of normal values as a share of their squares, from what ggml reaches on such values with weights of one, rounded up.
#[test]
fn searching_encoders_reach_what_their_types_allow() {
    let cases = [
        (TensorType::Q2_K, 0.075),
        (TensorType::Q3_K, 0.028),
        (TensorType::Q4_K, 0.0058),
        (TensorType::Q5_K, 0.0015),
        (TensorType::Q6_K, 0.0006),
        (TensorType::IQ4_NL, 0.0062),
        (TensorType::IQ4_XS, 0.0064),
        (TensorType::IQ3_S, 0.022),
        (TensorType::IQ3_XXS, 0.034),
        (TensorType::IQ2_S, 0.075),
        (TensorType::IQ2_XS, 0.092),
        (TensorType::IQ2_XXS, 0.11),
        (TensorType::IQ1_M, 0.20),
        (TensorType::IQ1_S, 0.22),
        (TensorType::TQ2_0, 0.20),
        (TensorType::TQ1_0, 0.20),
        (TensorType::MXFP4, 0.014),
        (TensorType::NVFP4, 0.012),
    ];
    let values = normal(&mut Random(7), 32 * 256);
    let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
    for (ty, bound) in cases {
        let share = squared_error(ty, &values, &[]) / squares;
        assert!(share <= bound, "{ty}: {share}");
        assert!(share >= bound / 3.0, "{ty}: {share} is too good to be true");
    }
}

#[test]
fn important_columns_come_out_better() {
    let values = normal(&mut Random(8), 8 * 256);
    let importance: Vec<f32> = (0..256).map(|c| if c % 8 == 3 { 50.0 } else { 1.0 }).collect();
    for &ty in TensorType::ALL.iter().filter(|ty| ty.info().encode.is_some() && ty.info().block_len > 1) {
        if matches!(ty, TensorType::Q8_0 | TensorType::Int8G64) {
            continue;
        }
        let mut data = vec![0; ty.row_bytes(values.len()).expect("whole blocks")];
        assert!(ty.encode(&values, &mut data, &mut []), "{ty}");
        let blind = decode(ty, &data, &[]);
        let pairs = values.iter().zip(&blind).enumerate();
        let blind: f64 =
            pairs.map(|(i, (v, b))| f64::from(importance[i % 256]) * f64::from(v - b).powi(2)).sum();
        assert!(squared_error(ty, &values, &importance) < 0.97 * blind, "{ty}");
    }
}

/// Stretches that nothing goes through, or next to nothing beside others: their values come out as where all columns count alike, or
/// not much worse, and never worse than zeros.
#[test]
fn columns_of_no_importance_keep_their_values() {
    let values = normal(&mut Random(9), 8 * 256);
    let within = |c: &usize| (32..64).contains(c);
    let off = |ty: TensorType, importance: &[f32]| -> f64 {
        let mut data = vec![0; ty.row_bytes(values.len()).expect("whole blocks")];
        assert!(ty.encode_weighted(&values, importance, &mut data, &mut []), "{ty} has an encoder");
        let pairs = values.iter().zip(decode(ty, &data, &[])).enumerate();
        pairs.filter(|(i, _)| within(&(i % 256))).map(|(_, (v, b))| f64::from(v - b).powi(2)).sum()
    };
    let ones = [1.0; 256];
    for &ty in TensorType::ALL.iter().filter(|ty| ty.info().encode.is_some() && ty.info().block_len > 1) {
        if ty == TensorType::Int8G64 {
            continue;
        }
        let alike = off(ty, &ones);
        for (inside, outside) in [(0.0, 1.0), (1e-30, 1.0), (1e20, 1.0), (0.0, 0.0), (1e-40, 1e-40)] {
            let importance: Vec<f32> = (0..256).map(|c| if within(&c) { inside } else { outside }).collect();
            let found = off(ty, &importance);
            assert!(found < 1.5 * alike, "{ty} with {inside} among {outside}: {found} for {alike}");
        }
    }
}

/// Whoever encodes has to check for these; nothing may break all the same.
#[test]
fn values_that_are_not_finite_break_nothing() {
    for &ty in TensorType::ALL.iter().filter(|ty| ty.info().encode.is_some()) {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-44] {
            let mut values = [0.5; 256];
            values[7] = bad;
            encode(ty, &values);
            encode(ty, &[bad; 256]);
        }
    }
}
