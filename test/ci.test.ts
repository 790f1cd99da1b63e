import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { checks } from '../.ci/checks.js'
import config from '../vitest.config.js'

const root = new URL('../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')
const workflow = read('.github/workflows/ci.yml')
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

const files = readdirSync(fileURLToPath(new URL('test', root)), { recursive: true, encoding: 'utf8' })
  .map((name) => `test/${name.replaceAll('\\', '/')}`)
  .filter((name) => /\.\w+\.ts$/.test(name) && !name.endsWith('.d.ts'))

/** The suites of vitest.config.ts: the name of each with the suffix of its files. */
const suites = (config.test?.projects ?? []).map((project) => {
  const { name, include } = (project as { test: { name: string; include: string[] } }).test
  return { name, suffix: /\*(\.\w+\.ts)$/.exec(include[0] ?? '')?.[1] ?? '?' }
})

/** Whether a command runs a file: it names the project, and the file's folder or none. */
function runs(command: string, project: string, file: string): boolean {
  if (!command.includes(`--project ${project}`)) return false
  const folders = command.match(/(?<=\s)test\/[\w/-]+/g)
  return folders === null || folders.some((folder) => file.startsWith(folder))
}

test('every test file belongs to a suite', () => {
  expect(suites.length).toBeGreaterThan(5)
  expect(files.filter((file) => !suites.some(({ suffix }) => file.endsWith(suffix)))).toEqual([])
})

test.each(suites)('every file of the suite $name is run by a check', ({ name, suffix }) => {
  const own = files.filter((file) => file.endsWith(suffix))
  expect(own.length).toBeGreaterThan(0)
  const local = checks.filter(({ isOnlyInWorkflow }) => !isOnlyInWorkflow)
  const commands = local.map(({ run }) => (run === 'npm test' ? (scripts.test as string) : run))
  expect(own.filter((file) => !commands.some((command) => runs(command, name, file)))).toEqual([])
})

test('every claim and every id is unique', () => {
  const claims = checks.map(({ claim }) => claim)
  expect(new Set(claims).size).toBe(claims.length)
  const ids = checks.flatMap(({ id }) => id ?? [])
  expect(new Set(ids).size).toBe(ids.length)
  for (const { after } of checks) if (after !== undefined) expect(ids).toContain(after)
})

test('every npm script that a check runs exists', () => {
  const names = checks.flatMap(({ run }) =>
    [...run.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name]) => name),
  )
  expect(names.length).toBeGreaterThan(2)
  for (const name of names) expect(scripts).toHaveProperty([name as string])
})

describe('the workflow', () => {
  /** The groups that `--group` or a matrix names. */
  const groups = new Set([
    ...[...workflow.matchAll(/--group (\w+)/g)].map(([, name]) => name as string),
    ...[...workflow.matchAll(/group: \[(.*)\]/g)].flatMap(([, names]) => (names as string).split(', ')),
  ])

  test('runs every group of checks, and no other', () => {
    // The workflow has a job per Node version instead of the group `versions`.
    const wanted = new Set(checks.map(({ group }) => group).filter((group) => group !== 'versions'))
    expect([...groups].sort()).toEqual([...wanted].sort())
  })

  test('runs every group with longer nightly checks at night', () => {
    const nightly = /\n {2}nightly:[\s\S]*?group: \[(.*)\]/.exec(workflow)?.[1]?.split(', ')
    const longer = new Set(checks.filter(({ nightly }) => nightly).map(({ group }) => group))
    expect(nightly?.sort()).toEqual([...longer].sort())
  })

  test('bounds the time of every job, and pins every action to a commit', () => {
    const jobs = workflow.match(/^ {4}runs-on:/gm)
    expect(workflow.match(/^ {4}timeout-minutes: \d+$/gm)).toHaveLength(jobs?.length ?? 0)
    const actions = [...workflow.matchAll(/uses: (\S+)/g)].map(([, action]) => action)
    expect(actions.length).toBeGreaterThan(5)
    for (const action of actions) expect(action).toMatch(/^[\w/-]+@[0-9a-f]{40}$/)
  })

  test('runs npm test on every version of Node that .ci/run tries, and on the lowest', () => {
    const versions = checks.flatMap(({ run }) => /--package node@(\d+)/.exec(run)?.[1] ?? [])
    expect(workflow).toContain(`node: [${['20', ...versions].join(', ')}]`)
  })
})
