// Shares a folder between Go's autocert.DirCache and DirCertCache. Needs Go.
import { strict as assert } from 'node:assert'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DirCertCache } from 'acme-cert-cache'
import { buildGoProgram } from './build.js'

const program = await buildGoProgram('dircache')
const base = mkdtempSync(join(tmpdir(), 'acme-cert-cache-go-'))
const keys = [
  ...['example.com', 'example.com+rsa', 'example.com+token', 'acme_account+key', 't0k_en-+http-01'],
  ...[
    'xn--bcher-kva.example',
    '.well',
    'a b',
    'a ',
    '%2e',
    '~',
    "it's",
    '..a',
    'a..',
    'CON',
    'A.example',
    'a.example',
  ],
]

try {
  for (const first of ['Go', 'Node']) {
    const folder = join(base, first)
    const go = (/** @type {string[]} */ ...args) =>
      execFileSync(program, [folder, ...args], { encoding: 'utf8' })
    const cache = new DirCertCache(folder)
    const node = async (/** @type {string} */ key) => {
      const value = await cache.get(key)
      return value ? Buffer.from(value).toString() : '(miss)'
    }
    for (const key of keys) {
      assert.equal(go('get', key), '(miss)')
      assert.equal(await node(key), '(miss)')
      if (first === 'Go') go('put', key, `${key} by Go`)
      else await cache.put(key, Buffer.from(`${key} by Node`))
      assert.equal(await node(key), `${key} by ${first}`)
      assert.equal(go('get', key), `${key} by ${first}`)
    }
    // Go ignores locks, and DirCertCache ignores Go's temporary files.
    const lock = await cache.tryLock('example.com')
    assert.ok(lock)
    go('put', 'example.com', 'renewed by Go')
    assert.equal(await node('example.com'), 'renewed by Go')
    await cache.put('example.com', Buffer.from('renewed by Node'))
    assert.equal(go('get', 'example.com'), 'renewed by Node')
    await lock.release()
    assert.deepEqual(readdirSync(folder).sort(), [...keys].sort())
    for (const key of keys) assert.equal(statSync(join(folder, key)).mode & 0o777, 0o600, key)
    assert.equal(statSync(folder).mode & 0o777, 0o700)
    go('delete', 'example.com')
    assert.equal(await node('example.com'), '(miss)')
    await cache.delete('example.com+rsa')
    assert.equal(go('get', 'example.com+rsa'), '(miss)')
    mkdirSync(join(folder, 'example.com+lock'))
    assert.equal(go('get', 'example.com'), '(miss)')
  }
  console.log(`Go and Node share a folder: ${keys.length} keys, written by either and read by both.`)
} finally {
  rmSync(base, { recursive: true })
}
