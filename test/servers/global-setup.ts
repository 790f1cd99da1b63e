import { existsSync } from 'node:fs'

/** Fails if the packages of this folder are not installed. */
export default function setup(): void {
  if (!existsSync(new URL('node_modules/.package-lock.json', import.meta.url)))
    throw new Error('The servers are not installed. Run: npm ci --prefix test/servers')
}
