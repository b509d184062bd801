// Reads the metadata_props of an ONNX file, which onnxruntime-web does not hand out. Only the top level of
// the protobuf message is walked, so that 100 MB of weights cost no time.
// Encoding: https://protobuf.dev/programming-guides/encoding/, fields: onnx.proto3, ModelProto.

const METADATA_PROPS = 14;
const CUT = "The model file is cut short or damaged. Put the whole file there, or export it again.";
const FOREIGN = "What lies where the model should be is not an ONNX file.";

/**
 * @param {Uint8Array} bytes the file.
 * @returns {Map<string, string>} the entries of metadata_props.
 * @throws {Error} if the file is cut short or is no ONNX file.
 */
export function readMetadata(bytes) {
  // ModelProto begins with ir_version, a small varint; pages that hosts send in place of a file do not.
  if (bytes.length === 0) throw new Error(CUT);
  if (bytes[0] !== 8) throw new Error(FOREIGN);
  const metadata = new Map();
  for (const [field, value] of fields(bytes)) {
    if (field !== METADATA_PROPS) continue;
    const entry = new Map(fields(value));
    metadata.set(text(entry.get(1)), text(entry.get(2)));
  }
  return metadata;
}

function* fields(bytes) {
  const reader = { bytes, at: 0 };
  while (reader.at < bytes.length) {
    const tag = varint(reader);
    const [field, type] = [Math.floor(tag / 8), tag % 8];
    if (type === 0) varint(reader);
    else if (type === 1) skip(reader, 8);
    else if (type === 5) skip(reader, 4);
    else if (type === 2) yield [field, skip(reader, varint(reader))];
    else throw new Error(CUT);
  }
}

function varint(reader) {
  // Not shifted: bit operations would cut the length of a large graph to 32 bits.
  for (let value = 0, scale = 1; ; scale *= 128) {
    if (reader.at >= reader.bytes.length || scale > 2 ** 63) throw new Error(CUT);
    const byte = reader.bytes[reader.at++];
    value += (byte % 128) * scale;
    if (byte < 128) return value;
  }
}

function skip(reader, length) {
  const start = reader.at;
  reader.at += length;
  if (reader.at > reader.bytes.length) throw new Error(CUT);
  return reader.bytes.subarray(start, reader.at);
}

function text(bytes) {
  return new TextDecoder().decode(bytes);
}
