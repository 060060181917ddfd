-- 노트북이 그린 그림은 그 자리가 가까워질 때 받습니다. 그래야 장을 열자마자 보이지도 않는 그림들이 글을 늦추지 않습니다.
-- Quarto는 셀이 그린 그림을 `장_files/` 아래에 둡니다. 글에 넣은 그림은 첫 화면에 보이기도 하므로 그대로 둡니다.
function Image(image)
  if image.src:find("_files/", 1, true) then
    image.attributes.loading = "lazy"
  end
  return image
end
