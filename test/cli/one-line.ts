import { expect } from 'vitest'

/** Matches standard error that holds one line and nothing else. */
export const oneLine = (text: RegExp) =>
  expect.stringMatching(new RegExp(`^acme-cert-cache: (?=.*${text.source})[^\\n]+\\n$`))
