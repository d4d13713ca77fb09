// Which row of which table turns each token of a call. Text, whose three places are equal, always takes the table that all calls share.

export interface TurnRows {
  /** [B T]: row of the table; -1 for padding. */
  readonly rows: Int32Array;
  /** At least one more than the greatest place. */
  readonly length: number;
  /** [3, B T]: time, height and width, where they differ in some token. The table is then made for the call, with a row per token. */
  readonly places?: Int32Array;
}

/**
 * @param position [B T]: places in the text, -1 for padding
 * @param places [3, B T]: time, height and width, if they are other than the place in the text
 */
export function turnRows(position: Int32Array, places?: Int32Array): TurnRows {
  const length = (places ?? position).reduce((most, place) => Math.max(most, place + 1), 0);
  if (!places) return { rows: position, length };
  const tokens = position.length;
  const time = places.subarray(0, tokens);
  if (time.every((place, i) => place === places[tokens + i] && place === places[2 * tokens + i]))
    return { rows: time, length };
  return { rows: position.map((place, i) => (place < 0 ? -1 : i)), length, places: places.slice() };
}
