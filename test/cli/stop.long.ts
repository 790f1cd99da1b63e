import { once } from 'node:events'
import { expect, test } from 'vitest'
import { runDoctorAndStop } from './stopping.js'

test.each([
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('doctor removes its blob when %s stops it, and exits with %i', async (name, code) => {
  const { requests, ...run } = await runDoctorAndStop(({ signal }) => signal(name))
  expect(run).toMatchObject({ code, stderr: '', keys: [] })
  expect(requests.at(-1)).toMatch(/^DELETE /)
})

test('a second Ctrl+C ends doctor at once', async () => {
  const { code, stderr, requests } = await runDoctorAndStop(async ({ child, signal }) => {
    await signal('SIGINT')
    const exited = once(child, 'exit')
    child.kill('SIGINT')
    expect(await exited).toEqual([null, 'SIGINT'])
  })
  expect({ code, stderr }).toEqual({ code: null, stderr: '' })
  expect(requests.filter((request) => request.startsWith('DELETE '))).toEqual([])
})
