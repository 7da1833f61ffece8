-- wrk … -- PATH: creates at PATH; the server makes the ids.

local requests = {}
local sent = 0

wrk.headers["Content-Type"] = "application/json"

function init(args)
   for number = 1, 1000 do
      local body = string.format('{"name":"Name %d","email":"n%d@example.com"}', number, number)
      requests[number] = wrk.format("POST", args[1], nil, body)
   end
end

function request()
   sent = sent + 1
   return requests[sent % #requests + 1]
end
