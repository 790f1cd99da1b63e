import ts from '@typescript/typescript6'
import { expect, test } from 'vitest'
import { sources } from './support/imports.js'

/** SQL statements are texts, but not messages. */
const withoutMessages = ['stores/sql/statements.ts']

/** Returns the texts of a file that a person may read: the strings and templates with at least two words. */
function textsOf(file: string, source: string): string[] {
  const texts: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) add(node.text)
    else if (ts.isTemplateExpression(node)) add(node.head.text + node.templateSpans.map(spanText).join(''))
    // A template can contain others; types contain no messages.
    if (!ts.isTypeNode(node)) ts.forEachChild(node, visit)
  }
  const add = (text: string) => {
    if (/\p{L}\S* +\S*\p{L}/u.test(text)) texts.push(text)
  }
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.ESNext, true))
  return texts
}

/** Shows what a template inserts as the expression that computes it. */
const spanText = ({ expression, literal }: ts.TemplateSpan) =>
  `{${ts.isTemplateExpression(expression) ? '…' : expression.getText().replaceAll(/\s+/g, ' ')}}${literal.text}`

const indent = (text: string) => text.replaceAll(/^(?=.)/gm, '  ')

// `npx vitest run --project quick test/messages -u` rewrites messages.txt. Review each changed line as a reader would.
test('messages.txt holds every text that the library and its command can show', async () => {
  const listed = [...sources]
    .filter(([file]) => !withoutMessages.includes(file))
    .map(([file, source]) => ({ file, texts: textsOf(file, source) }))
    .filter(({ texts }) => texts.length > 0)
    .map(({ file, texts }) => `${file}\n${texts.map(indent).join('\n')}\n`)
  expect(listed.length).toBeGreaterThan(60)
  await expect(listed.join('\n')).toMatchFileSnapshot('messages.txt')
})

test.each([
  [`throw new Error('it failed')`, ['it failed']],
  [
    'warn(`cannot read $' + '{show(key)} from $' + '{a ? `folder $' + '{b}` : ""}`)',
    ['cannot read {show(key)} from {a ? `folder $' + '{b}` : ""}', 'folder {b}'],
  ],
  [`import x from 'node:fs'; type A = 'two words'; const code = 'ERR_CLOSED' /* not this one */`, []],
])('the texts of %s are found', (source, texts) => {
  expect(textsOf('a.ts', source)).toEqual(texts)
})
