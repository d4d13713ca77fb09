import re
def rows(block):
    out=[]
    for line in block.strip().split('\n'):
        cells=[c.strip() for c in re.split(r'(?<!\\)\|', line.strip())[1:-1]]
        out.append(cells)
    return out[0], out[2:]
def conv(path, fn):
    s=open(path).read()
    def rep(m):
        head,body=rows(m.group(0))
        r=fn(head,body)
        return m.group(0) if r is None else r+'\n'
    s=re.sub(r'(?:^\|.*\n)+', rep, s, flags=re.M)
    open(path,'w').write(s)
def bul(body, sep=': '):
    return '\n'.join(f"- {b[0]}{sep}{'; '.join(x for x in b[1:] if x)}" for b in body)
def backends(head, body):
    h=head[0]
    if h=='op' and head[1].startswith('operands'):
        return '\n\n'.join(f"### {b[0]}\n\n_{b[1]}._\n\n{b[2]}." for b in body)
    if h=='op':
        out=[]
        for b in body:
            if b[1]=='never called': out.append(f"- {b[0]} on integers alone: {b[2]}.")
            elif b[2]=='': out.append(f"- {b[0]}: {b[1]}; integers compare by their type.")
            elif b[0].startswith('`equal'): out.append(f"- {b[0]}, to u32 1 or 0: NaN is neither equal to nor less than anything, and 0 equals -0; `less` compares integers by their type.")
            else: out.append(f"- {b[0]}: f32 {b[1]}; integers {b[2]}.")
        return '\n'.join(out)
    if h in('member','function','profile'): return '\n'.join(f"- {b[0]}: {b[1]}." for b in body)
    if h=='scheme': return '\n'.join(f"- {b[0]} ({b[1]}): {b[2]}." for b in body)
conv('docs/backends.md', backends)
conv('docs/numerics.md', lambda h,b: '\n'.join(f"- **{x[0]}**: {x[1]}. There: {x[2]}." for x in b) if h[0]=='what' else None)
def arch(h,b):
    if h[0]=='folder' and h[1]=='what is in it': return '\n'.join(f"- {x[0]}: {x[1]}." for x in b)
    if h[0]=='to add': return '\n'.join(f"- {x[0]}: {x[1]}; pass it to {x[2]}." for x in b)
    if h[0]=='letter': return '\n'.join(f"- {x[i]}: {x[i+1]}" for x in b for i in (0,2) if x[i])
conv('docs/architecture.md', arch)
def ck(h,b):
    if h[0] in('`from`','parameter','layout','part'): return '\n'.join(f"- {x[0]}: {x[1]}" + (f" (read only)" if len(x)>2 and x[2]=='no' else '') + "." for x in b)
conv('docs/checkpoints.md', ck)
conv('docs/memory.md', lambda h,b: '\n'.join(f"- {x[0]}: {x[1]}." for x in b))
conv('docs/data-path.md', lambda h,b: '\n'.join(f"- {', '.join(x[:2])}: {x[2]}." for x in b) if h[0]=='tensor' else '\n'.join(f"- {x[0]}: {x[1]}" for x in b))
