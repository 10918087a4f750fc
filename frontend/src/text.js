// Small wordings. Whatever comes from a model is text, and never HTML.
export const DIRECTIONS = /[\u202a-\u202e\u2066-\u2069\u200e\u200f]/g;

export function plain(text) {
  return String(text).replace(DIRECTIONS, '\ufffd');
}

export function short(text, most = 36) {
  const clean = plain(text);
  return clean.length <= most ? clean : `\u2026${clean.slice(1 - most)}`;
}

export function number(value) {
  if (value === null || value === undefined) return '';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

// The number that a cell begins with, for sorting: "1,024 B" is 1024, "12.5 %" is 12.5.
export function value(cell) {
  const m = /^[^\d-]{0,2}(-?[\d,]*\.?\d+)/.exec(cell.trim());
  return m ? Number(m[1].replace(/,/g, '')) : NaN;
}
