// Reorders the words of a packed operand; this backend knows the order "plain" alone.
import { DECLINED, type Kernel } from "../../backend.js";
import { partWords } from "../read.js";

export const repack: Kernel<"repack", void | typeof DECLINED> = ([x], [y], { layout }) => {
  if (layout !== "plain" || x.layout !== "plain") return DECLINED;
  const from = partWords(x);
  partWords(y).forEach((part, i) => {
    part.set(from[i]);
  });
  return undefined;
};
