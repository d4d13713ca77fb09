// Which row of which table turns each token of a call. Text, whose three places are equal, always takes the table that all calls share.

export interface TurnRows {
  /** [B T]: row of the table; -1 for padding. */
  readonly rows: Int32Array;
  /** At least one more than the greatest place. */
  readonly length: number;
  /** [3, B T]: time, height and width, where they differ in some token. The table is then made for the call, with a row per token. */
  readonly places?: Int32Array;
  /** The place that the table's first row belongs to; 0 unless given. */
  readonly firstRow?: number;
}

/**
 * @param position [B T]: places in the text, -1 for padding
 * @param places [3, B T]: time, height and width, if they are other than the place in the text
 * @param stride the table may begin at any multiple of it; it begins at 0 unless given
 */
export function turnRows(position: Int32Array, places?: Int32Array, stride?: number): TurnRows {
  const length = (places ?? position).reduce((most, place) => Math.max(most, place + 1), 0);
  if (!places) return fromFirst(position, length, stride);
  const tokens = position.length;
  const time = places.subarray(0, tokens);
  if (time.every((place, i) => place === places[tokens + i] && place === places[2 * tokens + i]))
    return fromFirst(time, length, stride);
  return { rows: position.map((place, i) => (place < 0 ? -1 : i)), length, places: places.slice() };
}

function fromFirst(place: Int32Array, length: number, stride?: number): TurnRows {
  if (stride === undefined) return { rows: place, length };
  const least = place.reduce((least, at) => (at < 0 ? least : Math.min(least, at)), length);
  const firstRow = Math.floor(least / stride) * stride;
  return { rows: place.map((at) => (at < 0 ? -1 : at - firstRow)), length, firstRow };
}
